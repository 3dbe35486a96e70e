import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { PROPAGATION, prunePropagations } from '#libs/resources';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { testServer } from './server-fixture.ts';

let database: TestDatabase;
let owner: Database;
let app: Database;

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 2 });
  app = Database.open({ url: database.url, poolSize: 2 });
});
afterAll(async () => {
  await app?.close();
  await owner?.close();
  await database?.drop();
});
beforeEach(async () => {
  await owner.query('TRUNCATE propagation');
  await owner.query('DELETE FROM tidemark.effects');
  await owner.query('DELETE FROM tidemark.listener_positions');
  await owner.query('INSERT INTO tidemark.listener_positions (listener, tid) VALUES ($1, 1000)', [PROPAGATION]);
});

/** A record of a change, or of none, as old as that. */
const record = (task: number, tid: number | null, age: string, copies = 1) =>
  owner.query(
    `INSERT INTO propagation (tid, task_id, project_id, entity_type, entity_id, old_status, new_status, consistency_valid, "timestamp")
       SELECT $2, $1::int + n, 1, 'shot', 1, 'todo', 'wip', true, now() - $3::interval FROM generate_series(0, $4::int - 1) n`,
    [task, tid, age, copies],
  );
const left = async () =>
  (await owner.query<{ task: number }>('SELECT task_id::int AS task FROM propagation ORDER BY 1')).rows.map(
    ({ task }) => task,
  );

it('keeps each for so many days, and as long as its change is still to be validated', async () => {
  await record(1, 11, '91 days');
  await record(2, null, '91 days');
  await record(3, 13, '89 days');
  await record(4, null, '89 days');
  for (const [n, state] of ['pending', 'failed', 'parked', 'done', 'discarded'].entries()) {
    await record(10 + n, 20 + n, '1 year');
    await owner.query(
      `INSERT INTO tidemark.effects (listener, tid, resource, id, state, finished) VALUES ($1, $2, 'task', $3, $4,
         CASE WHEN $4 IN ('done', 'discarded') THEN now() END)`,
      [PROPAGATION, 20 + n, String(10 + n), state],
    );
  }
  // the listener was set back before it
  await record(20, 1001, '1 year');
  expect(await prunePropagations(app, 90, 1_000)).toBe(4);
  expect(await left()).toEqual([3, 4, 10, 11, 12, 20]);
  await owner.query('UPDATE tidemark.listener_positions SET tid = 1001');
  await owner.query(`UPDATE tidemark.effects SET state = 'done', finished = now()`);
  expect(await prunePropagations(app, 90, 1_000)).toBe(4);
  expect(await left()).toEqual([3, 4]);
  expect(await prunePropagations(app, 88, 1_000)).toBe(2);
});

it('takes the oldest first, so many at once, and waits for nobody who is about some of them', async () => {
  await record(1, 11, '100 days');
  await record(2, 12, '300 days');
  await record(3, 13, '200 days');
  expect(await prunePropagations(app, 90, 1)).toBe(1);
  expect(await left()).toEqual([1, 3]);
  const other = await app.connect();
  try {
    await other.query('BEGIN');
    expect(await prunePropagations(other, 90, 1)).toBe(1);
    expect(await prunePropagations(app, 90, 1_000)).toBe(1);
    await other.query('COMMIT');
  } finally {
    other.release();
  }
  expect(await left()).toEqual([]);
});

it('is done by a server when it starts, for the days that it was told', async () => {
  await record(1, null, '31 days', 2_500);
  await record(5_000, null, '29 days');
  const server = await testServer(database.url, { TIDEMARK_PROPAGATION_KEEP_DAYS: '30' });
  try {
    await waitUntil(async () => (await left()).length === 1, 'the old ones are gone');
    expect(await left()).toEqual([5_000]);
  } finally {
    await server.close();
  }
});
