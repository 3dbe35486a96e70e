import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { createTicket, patchTicket } from '#libs/resources';
import { joe, ticketFixture } from '../resources/ticket-fixture.ts';
import { command } from './command.ts';

test('show and history know tickets and comments from their definitions alone', async () => {
  const fixture = await ticketFixture();
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-test-'));
  try {
    const opened = await createTicket(fixture.kernel, joe, { summary: 'It does not work', custom: { 'a.b': [1] } });
    const { id } = opened.ticket;
    const { tid } = await patchTicket(fixture.kernel, joe, id, { action: 'accept', comment: 'mine' });
    const run = async (...args: string[]) => {
      const { end, stdout, stderr } = await command(args, { DATABASE_URL: fixture.test.url }, folder);
      expect({ end, stderr }).toEqual({ end: 0, stderr: '' });
      return stdout;
    };
    expect(JSON.parse(await run('show', 'ticket', id, '--json'))).toMatchObject({
      ...{ resource: 'ticket', id, tid, author: 'joe', comment: 'mine' },
      values: { summary: 'It does not work', status: 'accepted', owner: 'joe', custom: { 'a.b': [1] }, comments: 1 },
    });
    expect(JSON.parse(await run('show', 'ticket', id, '--as-of', String(opened.tid), '--json')).values.status).toBe(
      'new',
    );
    expect(await run('show', 'ticket_comment', `[${id},1]`)).toContain('text: mine');
    const history = (await run('history', 'ticket', id, '--json'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(history).toMatchObject([
      { tid, change: 'MODIFY', comment: 'mine', fields: { status: { old: 'new', new: 'accepted' } } },
      { tid: opened.tid, change: 'CREATE', fields: { 'custom.a.b': { old: null, new: [1] } } },
    ]);
  } finally {
    await fixture.close();
    await rm(folder, { recursive: true });
  }
}, 30_000);
