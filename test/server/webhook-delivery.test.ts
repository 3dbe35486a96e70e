import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { describe, expect, it } from '@jest/globals';
import type { Change } from '#libs/journal';
import { command } from '../cli/command.ts';
import { type ReceivedMessage, status } from '../support/webhook-receiver.ts';
import { type Hook, until, verified, webhookWorld } from './webhook-fixture.ts';

const world = webhookWorld();

describe('a message', () => {
  it('is the change as the feed has it, signed, under the key of its effect', async () => {
    const { secret, listener } = await world.hook();
    const { id, tid } = await world.page();
    await world.came(1);
    const [message] = world.receiver.messages as [ReceivedMessage];
    const { changes } = await (await world.server.ask(`/journal/${tid}`)).json();
    expect(message.json).toEqual({ type: 'wiki.created', timestamp: changes[0].time, data: changes[0] });
    expect(message.headers).toMatchObject({
      ...{ 'webhook-id': `${tid}:wiki:${id}:${listener}`, 'idempotency-key': `${tid}:wiki:${id}:${listener}` },
      ...{ 'content-type': 'application/json; charset=utf-8', 'user-agent': expect.stringMatching(/^Tidemark\/\d/) },
    });
    expect(verified(message, secret)).toBe(true);
    expect(verified({ ...message, body: message.body.replace('wiki', 'viki') }, secret)).toBe(false);
    expect(verified(message, (await world.hook()).secret)).toBe(false);
  });

  it('comes of each change that the filter wants, also of those made through SQL, and of no other', async () => {
    await world.page();
    await world.hook({ filter: { resources: ['wiki'], fields: ['readonly'] } });
    const { id } = await world.page();
    await world.owner.query(`UPDATE wiki SET text = 'another' WHERE id = $1`, [id]);
    await world.owner.query('UPDATE wiki SET readonly = true WHERE id = $1', [id]);
    await world.server.send('POST', '/tickets', { summary: 'of another resource' });
    await world.owner.query('DELETE FROM wiki WHERE id = $1', [id]);
    expect(await world.told()).toEqual([`wiki ${id} created`, `wiki ${id} modified`, `wiki ${id} deleted`]);
    const changes: Change[] = world.receiver.messages.map(({ json }) => json.data);
    expect(changes[1]).toMatchObject({ origin: null, fields: { readonly: { old: false, new: true } } });
    expect(changes[2]?.fields['text']).toEqual({ old: 'another', new: null });
  });

  it('comes of changes in one project only, if that is named', async () => {
    await world.hook({ filter: { resources: ['reel'], project: 'alpha' } });
    await world.owner.query(`INSERT INTO reel VALUES (1, 'alpha', 'one'), (2, 'beta', 'two'), (3, NULL, 'three')`);
    await world.owner.query(`UPDATE reel SET title = title || '!'`);
    await world.owner.query(`UPDATE reel SET project_id = 'beta' WHERE id = 1`);
    await world.owner.query(`UPDATE reel SET title = title || '!'`);
    expect(await world.told()).toEqual(['reel 1 created', 'reel 1 modified', 'reel 1 modified']);
  });

  it('does not come of a muted change', async () => {
    await world.hook();
    await world.owner.query(`BEGIN; SELECT set_config('tidemark.actor', '{"author":"i","meta":{"effects":false}}', true);
      INSERT INTO wiki (name, text) VALUES ('Quiet', 'text'); COMMIT`);
    expect(await world.told()).toEqual([]);
  });

  it('comes once of each change, whichever of two servers made it', async () => {
    await world.hook();
    const made = await Promise.all(
      Array.from({ length: 30 }, (_, n) => world.page(n % 2 === 0 ? world.server : world.other)),
    );
    await world.quiet();
    const ids = world.receiver.messages.map(({ json }) => json.data.id).sort();
    expect(ids).toEqual(made.map(({ id }) => id).sort());
  });

  it('of one row come one after the other, in their order', async () => {
    await world.hook();
    const texts = Array.from({ length: 10 }, (_, n) => `text ${n}`);
    for (const text of texts) await world.server.put('Ordered', text);
    await world.quiet();
    expect(world.receiver.messages.map(({ json }) => json.data.fields.text.new)).toEqual(texts);
  });
});

async function listenerRow({ listener }: Hook) {
  const { items } = await (await world.server.ask('/listeners')).json();
  return items.find((row: { listener: string }) => row.listener === listener);
}

describe('a receiver', () => {
  it('that fails five times and then works has the message after growing pauses, under the same id', async () => {
    const made = await world.hook();
    world.receiver.answer = (response) => status(response, world.receiver.messages.length <= 5 ? 500 : 200);
    await world.page();
    const pauses: number[] = [];
    for (let count = 1; count <= 5; ) {
      const { state, last_error, failed, pause } = await world.failures(made, count);
      expect([state, last_error]).toEqual(['failed', `127.0.0.1:${world.receiver.port} answered 500`]);
      expect(pause).toBeGreaterThanOrEqual(749 * 2 ** (failed - 1));
      expect(pause).toBeLessThanOrEqual(1_251 * 2 ** (failed - 1));
      pauses.push(pause);
      count = failed + 1;
      await world.hurry();
    }
    await world.came(6);
    await world.quiet();
    expect(await world.ledgerRow(made)).toMatchObject({ state: 'done', attempts: 6, last_error: null });
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    expect(new Set(world.receiver.messages.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(world.receiver.messages.every((message) => verified(message, made.secret))).toBe(true);
  });

  it('that always fails has the message parked, and gets it when somebody tries again', async () => {
    const made = await world.hook();
    world.receiver.answer = (response) => status(response, 503);
    const { tid, id } = await world.page();
    await world.failures(made, 1);
    await world.owner.query(`UPDATE tidemark.effects SET attempts = 19, due = now() WHERE listener = $1`, [
      made.listener,
    ]);
    await world.parked(made);
    const key = `${tid}:wiki:${id}:${made.listener}`;
    const run = (...args: string[]) => command(args, { DATABASE_URL: world.database.url }, tmpdir());
    const [list, shown] = await Promise.all([
      run('effects', 'list', '--state', 'parked', '--listener', made.listener, '--json'),
      run('effects', 'show', key),
    ]);
    expect(JSON.parse(list.stdout)).toMatchObject([{ key, state: 'parked', attempts: 20 }]);
    expect(shown.stdout).toContain(`127.0.0.1:${world.receiver.port} answered 503`);
    await until(async () => (await listenerRow(made)).processes === 2, 'both processes say that they have it');
    expect(await listenerRow(made)).toMatchObject({ parked: 1, pending: 0, failed: 0, paused: false });
    expect(await (await world.server.ask('/metrics')).text()).toContain(
      `tidemark_effects{listener="${made.listener}",state="parked"} 1`,
    );
    world.receiver.answer = (response) => status(response, 200);
    const before = world.receiver.messages.length;
    expect((await run('effects', 'retry', key)).stdout).toContain('1 effect is tried again now');
    await world.came(before + 1);
    await world.quiet();
    expect(await world.ledgerRow(made)).toMatchObject({ state: 'done', last_error: null });
    expect(world.receiver.messages.at(-1)?.headers['webhook-id']).toBe(key);
  });

  it.each([
    ['3600', 3_600_000, 3_600_000],
    ['0', 750, 5_000],
    ['99999999', 4 * 3_600_000, 4 * 3_600_000],
  ])('that asks to wait by Retry-After: %s is left alone as long, within bounds', async (header, least, most) => {
    const made = await world.hook();
    world.receiver.answer = (response) => status(response, 429, { 'retry-after': header });
    await world.page();
    const { pause } = await world.failures(made, 1);
    expect(pause).toBeGreaterThanOrEqual(least - 1);
    expect(pause).toBeLessThanOrEqual(most + 1);
  });

  it('that redirects has failed, and where it points to is not called', async () => {
    const made = await world.hook();
    const target = await world.listening();
    world.receiver.answer = (response) => status(response, 308, { location: target.url });
    await world.page();
    expect((await world.failures(made, 1)).last_error).toBe(
      `127.0.0.1:${world.receiver.port} answered 308: redirects are not followed`,
    );
    expect(target.messages).toEqual([]);
  });

  it('that is gone (410) is not tried again by itself, and hears of later changes all the same', async () => {
    const made = await world.hook();
    world.receiver.answer = (response) => status(response, 410);
    const { tid } = await world.page();
    await world.parked(made);
    world.receiver.answer = (response) => status(response, 200);
    await world.page();
    await world.came(2);
    expect(await world.ledgerRow(made, tid)).toMatchObject({ state: 'parked', attempts: 1 });
  });

  it('that is slow delays no other', async () => {
    const slow = await world.listening();
    const held: ServerResponse[] = [];
    slow.answer = (response) => void held.push(response);
    await world.hook({ url: slow.url });
    await world.hook();
    for (let n = 0; n < 20; n++) await world.page();
    await world.came(20);
    expect(held.length).toBeGreaterThan(0);
    expect(held.length).toBeLessThan(20);
    slow.answer = (response) => status(response, 200);
    for (const response of held) status(response, 200);
    await world.came(20, slow);
    await world.quiet();
  });

  it('at an address that must not be called is not connected to, and the ledger says why', async () => {
    const made = await world.hook();
    // past the check of the URL, and not in TIDEMARK_WEBHOOK_ALLOW
    await world.owner.query('UPDATE webhook SET url = $2 WHERE id = $1', [
      made.id,
      `http://127.0.0.2:${world.receiver.port}/hook?key=private`,
    ]);
    await world.page();
    const why = '127.0.0.2 is not on the public internet: only what TIDEMARK_WEBHOOK_ALLOW names is called there';
    expect((await world.failures(made, 1)).last_error).toBe(`127.0.0.2:${world.receiver.port}: ${why}`);
    expect(world.receiver.messages).toEqual([]);
  });
});
