import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { createKernel } from '#libs/kernel';
import { resources, wiki } from '#libs/resources';
import { RecordedLog } from '../dispatch/harness.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { command } from './command.ts';

let test: TestDatabase;
let database: Database;
let folder: string;
let key: string;
let origin: string;

// A listener that never succeeds has left a parked effect behind.
beforeAll(async () => {
  test = await testDatabase();
  folder = await mkdtemp(join(tmpdir(), 'tidemark-effects-'));
  database = Database.open({ url: test.url });
  const kernel = createKernel({ database, resources, log: new RecordedLog() });
  kernel.listen({
    name: 'post',
    attempts: 1,
    onPrimary: () => Promise.reject(new Error('the receiver answered 500\n\u001b[2J')),
  });
  await kernel.start();
  const { tid, result } = await kernel.transaction({ author: 'joe' }, (tx) =>
    tx.create(wiki, { name: 'P', text: 't' }),
  );
  origin = kernel.origin;
  key = `${tid}:wiki:${result.row.id}:post`;
  const parked = async () =>
    (await database.query(`SELECT FROM tidemark.effects WHERE state = 'parked'`)).rowCount === 1;
  await waitUntil(parked, 'the effect is parked');
  await kernel.stop();
});
afterAll(async () => {
  await database.close();
  await test.drop();
  await rm(folder, { recursive: true });
});

const tidemark = (...args: string[]) => command(args, { DATABASE_URL: test.url }, folder);

it('list and show tell of it, listeners list names it', async () => {
  const list = await tidemark('effects', 'list', '--state', 'parked');
  expect([list.end, list.stdout]).toEqual([0, expect.stringContaining(`${key}  parked  1`)]);
  const show = await tidemark('effects', 'show', key);
  expect(show.stdout.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'T').replaceAll(/on \S+ \(\d+\)/g, 'on one (1)')).toBe(
    `${key}: parked
  the change ${key.split(':')[0]} of wiki 1, made by joe at T, in the process ${origin}, which is gone
  entered T
  begun T by tidemark on one (1): failed at T of: the receiver answered 500 [2J
  parked; once mended: tidemark effects retry '${key}'\n`,
  );
  const json = await tidemark('effects', 'show', key, '--json');
  expect(JSON.parse(json.stdout)).toMatchObject({ key, state: 'parked', attempts: 1 });
  const listeners = await tidemark('listeners', 'list', '--json');
  expect(JSON.parse(listeners.stdout)).toMatchObject([{ listener: 'post', parked: 1, processes: 0 }]);
});

it('status names it, with the commands that help', async () => {
  const { stdout } = await tidemark('status');
  expect(stdout).toContain(
    `, 1 parked
  it fails of "the receiver answered 500 [2J": tidemark effects list --listener post
  once mended: tidemark effects retry --listener post\n`,
  );
});

it('retry, then discard, change its state', async () => {
  expect(await tidemark('effects', 'retry', '--listener', 'post')).toMatchObject({
    end: 0,
    stdout: '1 effect is tried again now\n',
  });
  expect(await tidemark('effects', 'discard', key)).toMatchObject({ end: 0, stdout: '1 effect is given up\n' });
  expect(await tidemark('effects', 'retry', key)).toMatchObject({ end: 4 });
});

it('a listener is paused, resumed and set', async () => {
  expect((await tidemark('listeners', 'pause', 'post')).stdout).toBe('post is paused\n');
  expect((await tidemark('listeners', 'list')).stdout).toMatch(/^post {6,}paused/m);
  expect((await tidemark('listeners', 'resume', 'post')).stdout).toBe('post is resumed\n');
  expect((await tidemark('listeners', 'reset', 'post', '--to', 'head')).end).toBe(4);
  expect((await tidemark('listeners', 'reset', 'post', '--to', 'head', '--yes')).stdout).toMatch(/^post stands at \d+/);
});

it('a listener that no process has is named by status while others run, and removed with --yes', async () => {
  expect((await tidemark('status')).stdout).not.toContain('listeners remove');
  const kernel = createKernel({ database, resources, log: new RecordedLog() });
  await kernel.start();
  await database.query(`UPDATE tidemark.effects SET state = 'pending'`);
  expect((await tidemark('status')).stdout).toMatch(
    /^listener post at .*, 1 pending\n {2}no process has it; if none will again: tidemark listeners remove post$/m,
  );
  await kernel.stop();
  const refused = await tidemark('listeners', 'remove', 'post');
  expect([refused.end, refused.stderr]).toEqual([4, expect.stringContaining('effect that is not done given up')]);
  expect(await tidemark('listeners', 'remove', 'post', '--yes')).toMatchObject({
    ...{ end: 0, stdout: 'post is removed; 1 effect is given up\n' },
  });
  expect((await tidemark('listeners', 'remove', 'post', '--yes')).end).toBe(2);
});

it.each([
  [['effects', 'show', 'nonsense'], /is not the key of an effect/],
  [['effects', 'show', '1:wiki:1:none'], /there is no effect/],
  [['effects', 'list', '--state', 'sleeping'], /there is no state sleeping/],
  [['effects', 'discard'], /name either one effect by its key/],
  [['effects', 'retry', '1:wiki:1:post', '--state', 'parked'], /name either one effect by its key/],
  [['listeners', 'pause', 'nobody'], /no listener with effects is called "nobody"/],
  [['listeners', 'reset', 'post', '--to', 'now', '--yes'], /head, beginning or a tid/],
])('%j is refused with a sentence', async (args, sentence) => {
  const { end, stderr } = await tidemark(...args);
  expect([end, stderr]).toEqual([2, expect.stringMatching(sentence)]);
});
