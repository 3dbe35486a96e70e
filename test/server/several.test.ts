import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type TestServer, testServer } from './server-fixture.ts';

let database: TestDatabase;
let a: TestServer;
let b: TestServer;

beforeAll(async () => {
  database = await testDatabase();
  [a, b] = await Promise.all([testServer(database.url), testServer(database.url)]);
});
afterAll(async () => {
  await Promise.all([a?.close(), b?.close()]);
  await database?.drop();
});

const list = async (server: TestServer, prefix: string, headers: Record<string, string> = {}): Promise<string[]> =>
  (await (await server.ask(`/wiki?prefix=${prefix}`, { headers })).json()).items;

it('a page put at one server is listed at the other at once with Wait-For', async () => {
  for (let n = 0; n < 20; n++) {
    const put = await a.put(`Waited/${n}`, 'text');
    const tid = put.headers.get('tidemark-tid') as string;
    expect(await list(b, 'Waited/', { 'tidemark-wait-for': tid })).toContain(`Waited/${n}`);
  }
});

it('without Wait-For it is listed at the other long before any poll', async () => {
  const took: number[] = [];
  for (let n = 0; n < 10; n++) {
    await a.put(`Unwaited/${n}`, 'text');
    const since = performance.now();
    await waitUntil(async () => (await list(b, 'Unwaited/')).includes(`Unwaited/${n}`), 'the page is listed');
    took.push(performance.now() - since);
  }
  // the median: on a busy machine a single one may be late
  expect(took.sort((x, y) => x - y)[5]).toBeLessThan(500);
});

it('deletes and renames reach the list of the other server', async () => {
  await a.put('Moves/1', 'text');
  await a.put('Moves/2', 'text');
  await a.send('POST', '/wiki/Moves%2F1/rename', { to: 'Moves/3' });
  const { tid } = await (await a.ask('/wiki/Moves%2F2', { method: 'DELETE' })).json();
  expect(await list(b, 'Moves/', { 'tidemark-wait-for': String(tid) })).toEqual(['Moves/3']);
});

it('Wait-For answers 504 when an open transaction holds the tail', async () => {
  const holder = Database.open({ url: database.url, poolSize: 1, applicationName: 'the holder' });
  const connection = await holder.connect();
  await connection.query('BEGIN');
  await connection.query(`INSERT INTO wiki (name, text) VALUES ('Held', 'text')`);
  const { tid } = await (await a.put('Behind', 'text')).json();
  const headers = { 'tidemark-wait-for': String(tid), 'tidemark-wait-timeout': '0.2' };
  const answer = await b.ask('/wiki?prefix=Behind', { headers });
  expect([answer.status, (await answer.json()).code]).toEqual([504, 'not_caught_up']);

  const status = await (await b.ask('/status')).json();
  expect(status.safe).toBeLessThan(status.head);
  expect(status.floor_holders[0]).toMatchObject({
    application: 'the holder',
    query: expect.stringMatching(/INSERT/),
  });

  const waiting = list(b, 'Behind', { 'tidemark-wait-for': String(tid) });
  await connection.query('ROLLBACK');
  expect(await waiting).toEqual(['Behind']);
  connection.release();
  await holder.close();
});

it('status shows the journal, both processes, listeners and caches', async () => {
  const status = await (await a.ask('/status')).json();
  expect(status).toMatchObject({
    ...{
      head: expect.any(Number),
      safe: expect.any(Number),
      floor_holders: expect.any(Array),
      listeners: [],
    },
    process: { origin: a.kernel.origin, tail: 'running', position: expect.any(Number) },
    caches: ['page-names', 'inter-map', 'webhook-filters'].map((name) => ({
      ...{ name, state: 'loaded', position: expect.any(Number), loads: 1, last_error: null },
    })),
  });
  const origins = status.processes.map((process: { origin: string }) => process.origin);
  expect(origins).toEqual(expect.arrayContaining([a.kernel.origin, b.kernel.origin]));
});
