import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { tailStatus } from '#libs/dispatch';
import { PATIENTLY, waitUntil } from '../support/wait-until.ts';
import { type Harness, harness, openTransaction } from './harness.ts';

let h: Harness;
let prepared: boolean;

beforeAll(async () => {
  h = await harness(`
    CREATE TABLE item (id bigint PRIMARY KEY, name text, n integer NOT NULL DEFAULT 0);
    SELECT tidemark.journal_table('item');
    CREATE TABLE unrelated (n integer);
    GRANT SELECT, INSERT, UPDATE, DELETE ON item, unrelated TO tidemark_app;`);
  const { rows } = await h.owner.query<{ allowed: boolean }>(
    "SELECT current_setting('max_prepared_transactions')::int > 0 AS allowed",
  );
  prepared = rows[0]?.allowed ?? false;
});

afterAll(() => h.close());

test('an open transaction with a journaled change is named as what holds the tail, until it ends', async () => {
  const dispatcher = h.dispatcher();
  const told: string[] = [];
  dispatcher.listen({ name: 'recorder', onSecondary: (entry) => void told.push(entry.id) });
  await dispatcher.start();
  const holder = await openTransaction(h.owner, 'INSERT INTO item VALUES (1)');
  await h.change('INSERT INTO item VALUES (2)');
  const status = await tailStatus(h.app);
  expect(status.safe).toBeLessThan(status.head);
  expect(status.floorHolders).toEqual([
    {
      floor: status.safe,
      pid: holder.pid,
      gid: null,
      application: 'tidemark',
      user: expect.any(String),
      state: 'idle in transaction',
      since: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      query: expect.stringContaining('pg_backend_pid'),
    },
  ]);
  await waitUntil(() => dispatcher.status().head > dispatcher.status().safe, 'the tail is held');
  expect(told).toEqual([]);
  await holder.end('ROLLBACK');
  await waitUntil(() => told.length > 0, 'everything flows');
  expect(told).toEqual(['2']);
  const after = await tailStatus(h.app);
  expect(after).toMatchObject({ safe: after.head, floorHolders: [] });
});

test('an open transaction with an unrelated write holds nothing', async () => {
  const dispatcher = h.dispatcher();
  await dispatcher.start();
  const unrelated = await openTransaction(h.owner, 'INSERT INTO unrelated VALUES (1)');
  const reader = await openTransaction(h.owner, 'SELECT * FROM item');
  const tid = await h.change('INSERT INTO item VALUES (3)');
  await dispatcher.waitFor(tid, { timeout: 1_000 });
  expect((await tailStatus(h.app)).floorHolders).toEqual([]);
  await Promise.all([unrelated.end(), reader.end()]);
});

test('waitFor gives up after its time with not_caught_up while the tail is held', async () => {
  const dispatcher = h.dispatcher();
  await dispatcher.start();
  const holder = await openTransaction(h.owner, 'INSERT INTO item VALUES (4)');
  const tid = await h.change('INSERT INTO item VALUES (5)');
  await expect(dispatcher.waitFor(tid, { timeout: 100 })).rejects.toMatchObject({ code: 'not_caught_up' });
  await holder.end();
  await dispatcher.waitFor(tid, PATIENTLY);
});

test('a prepared transaction is named by its gid', async () => {
  if (!prepared) return;
  const gid = `held_${randomUUID()}`;
  const connection = await h.owner.connect();
  await connection.query('BEGIN');
  await connection.query('INSERT INTO item VALUES (6)');
  await connection.query(`PREPARE TRANSACTION '${gid}'`);
  await h.change('INSERT INTO item VALUES (7)');
  try {
    const { safe, floorHolders } = await tailStatus(h.app);
    expect(floorHolders).toEqual([expect.objectContaining({ floor: safe, pid: null, gid, user: expect.any(String) })]);
    expect(floorHolders[0]?.since).toMatch(/^\d{4}-/);
  } finally {
    await connection.query(`ROLLBACK PREPARED '${gid}'`);
    connection.release();
  }
});

test('a running process is listed with its position, and no longer once it has stopped; one not seen for a minute is removed', async () => {
  const gone = randomUUID();
  await h.owner.query(
    "INSERT INTO tidemark.processes (origin, name, host, pid, version, seen, position) VALUES ($1, 'gone', 'h', 1, '0', now() - interval '61 s', 1)",
    [gone],
  );
  const dispatcher = h.dispatcher({ name: 'here' });
  await dispatcher.start();
  const tid = await h.change('INSERT INTO item VALUES (8)');
  const listed = async () => (await tailStatus(h.app)).processes.filter(({ origin }) => origin === dispatcher.origin);
  expect(await listed()).toEqual([expect.objectContaining({ name: 'here', pid: process.pid, version: '0' })]);
  await waitUntil(async () => ((await listed())[0]?.position ?? 0) >= tid, 'its position is told');
  const { rows } = await h.owner.query('SELECT * FROM tidemark.processes WHERE origin = $1', [gone]);
  expect(rows).toEqual([]);
  await dispatcher.stop();
  expect(await listed()).toEqual([]);
});
