import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { endProcess, type ServerProcess, serverProcess } from '../cli/server-process.ts';
import { VOCABULARY } from '../resources/production-fixture.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

const TOKEN = 'a-token-for-tests';
const TASKS = 20;

let database: TestDatabase;
let owner: Database;
let folder: string;
const living: ServerProcess[] = [];

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 3 });
  folder = await mkdtemp(join(tmpdir(), 'tidemark-propagation-'));
  await owner.query(VOCABULARY);
});
afterAll(async () => {
  await Promise.all(living.map((server) => endProcess(server, 'SIGKILL')));
  await owner?.close();
  await database?.drop();
  await rm(folder, { recursive: true });
});

async function serve(): Promise<ServerProcess> {
  const server = await serverProcess({ DATABASE_URL: database.url, TIDEMARK_ADMIN_TOKEN: TOKEN }, folder);
  living.push(server);
  return server;
}

async function tasks(): Promise<string[]> {
  await owner.query(`INSERT INTO project (name) VALUES ('Big')`);
  await owner.query(
    `INSERT INTO shot (project_id, name) SELECT id, 'S' || n FROM project, generate_series(1, $1::int) n`,
    [TASKS],
  );
  const { rows } = await owner.query<{ id: string }>(
    `INSERT INTO task (project_id, entity_type, entity_id, task_type, initial_status, status)
       SELECT project_id, 'shot', id, 'comp', 'todo', 'todo' FROM shot RETURNING id::text AS id`,
  );
  return rows.map(({ id }) => id);
}

async function count(text: string): Promise<number> {
  const { rows } = await owner.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${text}`);
  return (rows[0] as { n: number }).n;
}

// "Between commit and validation" is made as long as it takes: validations wait for a table that somebody holds.
async function killedBetween(server: ServerProcess, ids: readonly string[], status: string): Promise<void> {
  const before = await count('propagation');
  const holder = await owner.connect();
  await holder.query('BEGIN');
  await holder.query('LOCK TABLE inconsistent_entity IN ACCESS EXCLUSIVE MODE');
  try {
    const updates = ids.slice(1).map((task_id) => ({ task_id, status }));
    const put = async (path: string, body: object) => {
      const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
      const answer = await fetch(`${server.url}${path}`, { method: 'PUT', headers, body: JSON.stringify(body) });
      expect([path, answer.status]).toEqual([path, 200]);
    };
    await put(`/tasks/${ids[0]}/status`, { status });
    await put('/tasks/bulk/status', { updates });
    const waiting = `pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%inconsistent_entity%'`;
    await waitUntil(async () => (await count(waiting)) > 0, 'a validation has begun');
    const taken = `tidemark.effects e JOIN tidemark.processes p ON p.lease = e.holder WHERE p.pid = ${server.started.process.pid}`;
    await waitUntil(async () => (await count(taken)) === TASKS, 'it is this server that validates');
    await endProcess(server, 'SIGKILL');
    expect(await count('propagation')).toBe(before);
  } finally {
    await holder.query('ROLLBACK');
    holder.release();
  }
}

async function told(of: number): Promise<unknown[]> {
  await waitUntil(async () => (await count('propagation')) >= of, 'each change is told of', 60_000);
  const open = `tidemark.effects WHERE listener = 'task-propagation' AND state NOT IN ('done', 'discarded')`;
  await waitUntil(async () => (await count(open)) === 0, 'nothing is left to do', 60_000);
  const { rows } = await owner.query(
    'SELECT task_id::text AS id, old_status, new_status, consistency_valid FROM propagation ORDER BY new_status, task_id',
  );
  return rows;
}

it('a server that is killed between commits and validations leaves each of these to another one, or to the next', async () => {
  const ids = (await tasks()).toSorted((a, b) => Number(a) - Number(b));
  const changes = (old_status: string, new_status: string) =>
    ids.map((id) => ({ id, old_status, new_status, consistency_valid: true }));
  const [first, second] = [await serve(), await serve()];
  await killedBetween(first, ids, 'wip');
  expect(await told(TASKS)).toEqual(changes('todo', 'wip'));
  await killedBetween(second, ids, 'review');
  expect(await count('propagation')).toBe(TASKS);
  await serve();
  expect(await told(2 * TASKS)).toEqual([...changes('wip', 'review'), ...changes('todo', 'wip')]);
}, 180_000);
