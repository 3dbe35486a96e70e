import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { type EntityScope, PROPAGATION, prunePropagations, readHealth } from '#libs/resources';
import { readingOf } from '../support/plan.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { VOCABULARY } from './production-fixture.ts';

const LOOKED = 10_000;
const ALL = { kind: 'all but', projects: [] } as const;

let test: TestDatabase;
let owner: Database;

// Two projects with much of everything, and one with nothing; the projection and the listener are behind all of it.
beforeAll(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl, poolSize: 1 });
  await owner.query(VOCABULARY);
  await owner.query(`INSERT INTO project (name) VALUES ('Big'), ('Other'), ('Empty')`);
  await owner.query(`INSERT INTO shot (project_id, name) SELECT n % 2 + 1, 'S' || n FROM generate_series(1, 6000) n`);
  await owner.query(
    `INSERT INTO task (project_id, entity_type, entity_id, task_type, initial_status, status)
       SELECT project_id, 'shot', id, t.type, 'todo', 'todo' FROM shot, (VALUES ('comp'), ('layout')) t(type)`,
  );
  await owner.query(`UPDATE task SET status = 'done'`);
  await owner.query(`INSERT INTO inconsistent_entity SELECT 'shot', id, project_id, 1, now(), now() FROM shot`);
  await owner.query(
    `INSERT INTO entity_task_status SELECT 'shot', id, '{"comp": "done", "layout": "done"}', '[]' FROM shot WHERE id % 10 > 0`,
  );
  await owner.query(
    `INSERT INTO propagation (tid, task_id, project_id, entity_type, entity_id, old_status, new_status, consistency_valid, "timestamp")
       SELECT n, n, n % 2 + 1, 'shot', 1, 'todo', 'wip', true, now() - n * interval '1 hour' FROM generate_series(1, 40000) n`,
  );
  await owner.query('INSERT INTO tidemark.listener_positions (listener, tid) VALUES ($1, 0)', [PROPAGATION]);
  await owner.query(
    `INSERT INTO tidemark.effects (listener, tid, resource, id, state, due, finished)
       SELECT $1, n, 'task', n % 12000 + 1, state, now() - n * interval '1 s', CASE WHEN state = 'done' THEN now() END FROM generate_series(1, 30000) n,
         LATERAL (SELECT CASE WHEN n <= 12000 THEN 'pending' WHEN n <= 24000 THEN 'parked' ELSE 'done' END AS state) s`,
    [PROPAGATION],
  );
  await owner.query('ANALYZE');
});
afterAll(async () => {
  await owner?.close();
  await test?.drop();
});

type Counters = Awaited<ReturnType<typeof readHealth>>;
const counted = (health: Counters) => [
  ...[health.inconsistent_entities, health.pending_propagations, health.parked_propagations],
  health.last_propagation !== null,
];
const MUCH = [1_000, 1_000, 1_000, true];
const NOTHING = [0, 0, 0, false];

const SCOPES: [string, EntityScope, unknown[]][] = [
  ['everything', { readable: ALL }, MUCH],
  ['a project', { project_id: '1', readable: ALL }, MUCH],
  ['a project with nothing in it', { project_id: '3', readable: ALL }, NOTHING],
  ['the projects of a coordinator', { readable: { kind: 'only', projects: ['2', '3'] } }, MUCH],
  ['one with nothing in it', { readable: { kind: 'only', projects: ['3', 'none'] } }, NOTHING],
  ['no project', { readable: { kind: 'only', projects: [] } }, NOTHING],
  ['all projects but some', { readable: { kind: 'all but', projects: ['2', '3'] } }, MUCH],
];

describe('with much of everything', () => {
  it.each(SCOPES)('health of %s reads no table from end to end, and few rows of any', async (_, scope, counters) => {
    expect(counted(await readHealth(owner, scope))).toEqual(counters);
    const { most, whole } = await readingOf(owner, (db) => readHealth(db, scope));
    const large = ['shot', 'task', 'task_journal', 'task_history', 'entity_task_status', 'effects', 'propagation'];
    expect(large.filter((table) => whole.has(table))).toEqual([]);
    expect(most).toBeLessThanOrEqual(LOOKED);
  });

  it('old propagations are found without reading the young ones, or all effects', async () => {
    await owner.query('UPDATE tidemark.listener_positions SET tid = 1000000');
    const { most, whole } = await readingOf(owner, (db) => prunePropagations(db, 90, 1_000));
    expect([...whole]).not.toContain('propagation');
    expect([...whole]).not.toContain('effects');
    expect(most).toBeLessThanOrEqual(1_000);
  });
});
