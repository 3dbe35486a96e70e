import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Answer, type TestServer, testServer } from './server-fixture.ts';

let database: TestDatabase;
let server: TestServer;
let broken = true;
const keys: string[] = [];

// A listener that fails until it is mended has left parked effects of five pages.
beforeAll(async () => {
  database = await testDatabase();
  server = await testServer(database.url, {}, { prepare: (kernel) => kernel.listen(post) });
  for (let n = 0; n < 5; n++) {
    const { tid, id } = await (await server.put(`Page/${n}`, 'text')).json();
    keys.unshift(`${tid}:wiki:${id}:post`);
  }
  await waitUntil(async () => (await list('?state=parked')).items.length === 5, 'all are parked');
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const post = {
  ...{ name: 'post', resources: ['wiki'], attempts: 1 },
  onPrimary: () => {
    if (broken) throw new Error('the receiver answered 500');
  },
};
const list = async (query: string) => (await server.ask(`/effects${query}`)).json();
const story = (key: string): Promise<Answer> => server.ask(`/effects/${encodeURIComponent(key)}`);
const stateOf = async (key: string) => (await (await story(key)).json()).state;
const keysOf = ({ items }: { items: { key: string }[] }) => items.map(({ key }) => key);

describe('effects over HTTP', () => {
  it('are listed, those of the latest changes first, in pages', async () => {
    const found: string[] = [];
    for (let cursor = ''; cursor !== null; ) {
      const page = await list(`?limit=2&cursor=${cursor}`);
      found.push(...keysOf(page));
      cursor = page.next;
    }
    expect(found).toEqual(keys);
  });

  it('are chosen by listener, state, age and change', async () => {
    const [tid, , id] = (keys[1] as string).split(':');
    expect(keysOf(await list(`?listener=post&state=parked&resource=wiki&tid=${tid}&id=${id}`))).toEqual([keys[1]]);
    for (const other of ['listener=mail', 'state=done', 'older_than=3600', 'tid=1', 'resource=ticket', 'id=0']) {
      expect([other, (await list(`?${other}`)).items]).toEqual([other, []]);
    }
  });

  it('tell all that is known of one', async () => {
    expect(await (await story(keys[0] as string)).json()).toMatchObject({
      ...{ key: keys[0], state: 'parked', attempts: 1, running: false, due: null, author: 'admin', mails: [] },
      made_by: expect.stringMatching(/^tidemark on .* \(\d+\)$/),
      past: [{ what: 'failed', by: expect.stringMatching(/^tidemark on /), error: 'the receiver answered 500' }],
    });
  });

  it('are tried again: one by its key, then all of a listener', async () => {
    broken = false;
    const one = await server.send('POST', '/effects/retry', { key: keys[0] });
    expect([one.status, one.headers.get('tidemark-tid'), await one.json()]).toEqual([200, null, { effects: 1 }]);
    await waitUntil(async () => (await stateOf(keys[0] as string)) === 'done', 'it is done');
    const { past } = await (await story(keys[0] as string)).json();
    expect(past.map(({ what }: { what: string }) => what)).toEqual(['failed', 'retried']);
    expect((await server.send('POST', '/effects/retry', { key: keys[0] })).status).toBe(409);
    broken = true;
    const rest = await server.send('POST', '/effects/retry', { listener: 'post' });
    expect(await rest.json()).toEqual({ effects: 4 });
    await waitUntil(async () => (await list('?state=parked')).items.length === 4, 'they are parked again');
  });

  it('are given up, once for each Idempotency-Key', async () => {
    const ask = () =>
      server.send('POST', '/effects/discard', { listener: 'post', state: 'parked' }, { 'idempotency-key': 'give-up' });
    expect(await (await ask()).json()).toEqual({ effects: 4 });
    const again = await ask();
    expect([again.headers.get('idempotency-replayed'), await again.json()]).toEqual(['true', { effects: 4 }]);
    expect(await stateOf(keys[3] as string)).toBe('discarded');
  });

  it.each<[string, string, object | undefined, number, RegExp]>([
    [
      'GET',
      '/effects?state=sleeping',
      undefined,
      422,
      /state: must be one of pending, failed, parked, done, discarded/,
    ],
    ['GET', '/effects?older_than=soon', undefined, 422, /older_than: must be a whole number/],
    ['GET', '/effects?cursor=nonsense', undefined, 400, /cursor/],
    ['GET', '/effects/nonsense', undefined, 422, /is not the key of an effect: tid:resource:id:listener/],
    ['GET', '/effects/1%3Awiki%3A0%3Apost', undefined, 404, /there is no effect 1:wiki:0:post/],
    ['POST', '/effects/retry', {}, 422, /name either one effect by its key, or some/],
    ['POST', '/effects/discard', { key: '1:wiki:0:post', state: 'parked' }, 422, /name either one effect/],
    ['POST', '/effects/discard', { key: '1:wiki:0:post' }, 404, /there is no effect/],
    ['POST', '/effects/discard', { state: 'sleeping' }, 422, /state/],
  ])('%s %s %j is refused', async (method, path, given, status, detail) => {
    const answer = given === undefined ? await server.ask(path, { method }) : await server.send(method, path, given);
    expect([answer.status, (await answer.json()).detail]).toEqual([status, expect.stringMatching(detail)]);
  });
});

describe('listeners over HTTP', () => {
  const listener = async () => (await (await server.ask('/listeners')).json()).items[0];

  it('are listed', async () => {
    const { tid } = await (await server.put('Listed', 'text')).json();
    await waitUntil(async () => (await listener()).position >= tid, 'its position has passed');
    expect(await (await server.ask('/listeners')).json()).toMatchObject({
      items: [
        { listener: 'post', paused: false, lag_rows: 0, lag_ms: 0, pending: 0, done: 1, processes: 1 },
        { listener: 'task-propagation', processes: 1 },
      ],
      next: null,
    });
  });

  it('are paused, resumed and set', async () => {
    const pause = await server.ask('/listeners/post/pause', { method: 'POST' });
    expect([pause.status, await pause.json()]).toEqual([200, { listener: 'post', paused: true }]);
    expect((await listener()).paused).toBe(true);
    await server.ask('/listeners/post/resume', { method: 'POST' });
    expect((await listener()).paused).toBe(false);
    const { position } = await listener();
    const reset = await server.send('POST', '/listeners/post/reset', { to: position - 1 });
    expect(await reset.json()).toEqual({ listener: 'post', from: position, to: position - 1 });
  });

  it('are removed where no process has them', async () => {
    const served = await server.ask('/listeners/post', { method: 'DELETE' });
    expect([served.status, (await served.json()).detail]).toEqual([409, expect.stringMatching(/^post is served by/)]);
    await server.database.query(`INSERT INTO tidemark.listener_positions (listener, tid) VALUES ('old', 0)`);
    await server.database.query(
      `INSERT INTO tidemark.effects (listener, tid, resource, id) SELECT 'old', n, 'wiki', '1' FROM generate_series(1, 3) n`,
    );
    const remove = () => server.ask('/listeners/old', { method: 'DELETE', headers: { 'idempotency-key': 'remove' } });
    expect(await (await remove()).json()).toEqual({ listener: 'old', effects: 3 });
    expect((await remove()).headers.get('idempotency-replayed')).toBe('true');
    expect((await server.ask('/listeners/old', { method: 'DELETE' })).status).toBe(404);
    expect(await stateOf('2:wiki:1:old')).toBe('discarded');
  });

  it.each<[string, object | undefined, number, RegExp]>([
    ['nobody/pause', undefined, 404, /no listener with effects is called "nobody"/],
    ['nobody/reset', { to: 'head' }, 404, /no listener/],
    ['post/reset', { to: 'now' }, 422, /to: must be head, beginning or a tid/],
    ['post/reset', { to: 999_999_999 }, 422, /lies beyond what is safe to read/],
  ])('%s %j is refused', async (path, given, status, detail) => {
    const answer = await (given === undefined
      ? server.ask(`/listeners/${path}`, { method: 'POST' })
      : server.send('POST', `/listeners/${path}`, given));
    expect([answer.status, (await answer.json()).detail]).toEqual([status, expect.stringMatching(detail)]);
  });
});
