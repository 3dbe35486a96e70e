import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { testServer } from './server-fixture.ts';
import { readEvents } from './sse.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database?.drop());

it('a request under way is finished, then connections are refused', async () => {
  const server = await testServer(database.url);
  await server.put('Locked', 'one');
  const other = Database.open({ url: database.url, poolSize: 1 });
  const connection = await other.connect();
  await connection.query('BEGIN');
  await connection.query(`SELECT FROM wiki WHERE name = 'Locked' FOR UPDATE`);
  const put = server.put('Locked', 'two');
  await waitUntil(async () => {
    const { rows } = await server.database.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    return rows.length > 0;
  }, 'the put waits for the row');

  const closed = server.close();
  await waitUntil(
    () =>
      fetch(`${server.url}/health/live`).then(
        () => false,
        () => true,
      ),
    'new connections are refused',
  );
  await connection.query('COMMIT');
  connection.release();
  const answer = await put;
  expect([answer.status, answer.headers.get('connection')]).toEqual([200, 'close']);
  expect(await answer.json()).toMatchObject({ text: 'two' });
  await closed;
  await other.close();
});

it('event streams are told to come back, and long polls answered', async () => {
  const server = await testServer(database.url);
  const streams = await Promise.all(
    [1, 2, 3].map(async () => {
      const answer = await server.ask('/journal/stream');
      return readEvents(answer.body as ReadableStream<Uint8Array>);
    }),
  );
  const { cursor } = await (await server.ask('/journal?after=now')).json();
  const poll = server.ask(`/journal?after=${cursor}&wait=30`);
  await server.ask('/health/live');
  const since = performance.now();
  await server.close();
  expect(performance.now() - since).toBeLessThan(10_000);
  expect(await (await poll).json()).toEqual({ changes: [], cursor: expect.any(String) });
  for (const stream of streams) {
    const last = await stream.next();
    expect(last).toMatchObject({ event: 'reconnect', id: undefined });
    expect(last?.raw).toMatch(/^retry: \d+$/m);
    expect(await stream.next()).toBeUndefined();
  }
});

it('close() may be called twice', async () => {
  const server = await testServer(database.url);
  await Promise.all([server.close(), server.close().catch(() => undefined)]);
});

it('a port in use is refused, and nothing is left running', async () => {
  const first = await testServer(database.url);
  const second = await testServer(database.url, { PORT: new URL(first.url).port }).catch((error) => error);
  expect(second).toMatchObject({ code: 'EADDRINUSE' });
  expect((await first.ask('/wiki')).status).toBe(200);
  await first.close();
});
