import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { projections } from '#libs/resources';
import { command, type Ended, startCommand } from '../cli/command.ts';
import { endProcess, type ServerProcess, serverProcess } from '../cli/server-process.ts';
import { VOCABULARY } from '../resources/production-fixture.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

const TOKEN = 'a-token-for-tests';
/** More than are computed at once. */
const SHOTS = process.env['TIDEMARK_TEST_LONG'] === '1' ? 20_000 : 2_100;
const STATUSES = ['wip', 'review', 'retake', 'done', 'todo'];

let database: TestDatabase;
let owner: Database;
let folder: string;
let sequences: string[];
const servers: ServerProcess[] = [];

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 3 });
  folder = await mkdtemp(join(tmpdir(), 'tidemark-rebuild-'));
  await owner.query(VOCABULARY);
  await owner.query(`INSERT INTO project (name) VALUES ('Big');
    INSERT INTO sequence (project_id, name) SELECT id, 'Q' || n FROM project, generate_series(1, 3) n;
    INSERT INTO shot (project_id, sequence_id, name)
      SELECT s.project_id, s.id, 'S' || n FROM generate_series(1, ${SHOTS}) n JOIN sequence s ON s.name = 'Q' || (1 + n % 3);
    INSERT INTO task (project_id, entity_type, entity_id, task_type, initial_status, status)
      SELECT project_id, 'shot', id, 'comp', 'todo', 'todo' FROM shot`);
  sequences = (await owner.query<{ id: string }>('SELECT id::text AS id FROM sequence')).rows.map(({ id }) => id);
  // the daily check of a fold is a rebuild, too, and there is one at a time
  const env = { DATABASE_URL: database.url, TIDEMARK_ADMIN_TOKEN: TOKEN, TIDEMARK_CHECK_ROWS_PER_SECOND: '0' };
  servers.push(...(await Promise.all([serverProcess(env, folder), serverProcess(env, folder)])));
}, 120_000);
afterAll(async () => {
  await Promise.all(servers.map((server) => endProcess(server, 'SIGKILL')));
  await owner?.close();
  await database?.drop();
  await rm(folder, { recursive: true });
});

const tidemark = (...args: string[]): Promise<Ended> => command(args, { DATABASE_URL: database.url }, folder);

/** Changes tasks and shots at both servers without a pause until it is told to end. */
function writers(shots: readonly { shot: string; task: string }[]) {
  let ends = false;
  let count = 0;
  const send = async ({ url }: ServerProcess, method: string, path: string, body?: object) => {
    const headers = { authorization: `Bearer ${TOKEN}`, ...(body && { 'content-type': 'application/json' }) };
    const answer = await fetch(url + path, { method, headers, ...(body && { body: JSON.stringify(body) }) });
    expect([method, path, answer.ok ? 'ok' : await answer.text()]).toEqual([method, path, 'ok']);
    count += 1;
    return answer.json() as Promise<{ id: string }>;
  };
  const write = async (server: ServerProcess, first: number) => {
    for (let n = first; !ends; n += servers.length) {
      const { shot, task } = shots[(n * 7919) % shots.length] as { shot: string; task: string };
      const other = (place: number) => shots[(n * 7919 + place) % shots.length]?.task;
      await send(server, 'PUT', `/tasks/${task}/status`, { status: STATUSES[n % 5] });
      await send(server, 'PUT', `/shots/${shot}`, { sequence_id: [...sequences, null][n % 4] });
      const updates = [1, 2, 3].map((place) => ({ task_id: other(place), status: STATUSES[(n + place) % 5] }));
      await send(server, 'PUT', '/tasks/bulk/status', { updates });
      const more = { entity_type: 'shot', entity_id: shot, task_type: 'layout', name: `L${n}` };
      const { id } = await send(server, 'POST', '/tasks', more);
      if (n % 3 === 0) await send(server, 'DELETE', `/tasks/${id}`);
    }
  };
  const all = Promise.all(servers.map(write));
  all.catch(() => undefined);
  return {
    count: () => count,
    async end() {
      ends = true;
      await all;
    },
  };
}

const GATE = 'pg_advisory_xact_lock(297971)';

/** Kills a rebuild, by the command line, that has read or applied something already and has more to do: there it stands at a gate. */
async function killedMidway(name: string): Promise<void> {
  const holder = await owner.connect();
  await holder.query('BEGIN');
  await holder.query(`SELECT ${GATE}`);
  try {
    const { process: child, ended } = startCommand(['rebuild', name], { DATABASE_URL: database.url }, folder);
    const atGate = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 297971 AND NOT granted`;
    await waitUntil(async () => (await owner.query(atGate)).rowCount === 1, `the rebuild of ${name} is midway`);
    child.kill('SIGKILL');
    expect((await ended).end).toBe('SIGKILL');
  } finally {
    await holder.query('ROLLBACK');
    holder.release();
  }
}

/** Runs a rebuild to its end. PostgreSQL may not have noticed yet that the one before it is dead. */
async function rebuilt(name: string): Promise<{ resumed: boolean; tid: number }> {
  for (;;) {
    const { end, stdout, stderr } = await tidemark('rebuild', name, '--json');
    if (end === 0) return JSON.parse(stdout);
    expect([end, stderr]).toEqual([4, expect.stringContaining('is being rebuilt already')]);
    await delay(50);
  }
}

it('all projections of a production are rebuilt while two servers write, killed -9 midway and gone on with, and nothing differs', async () => {
  await owner.query(`
    CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM ${GATE}; RETURN new; END $$;
    CREATE TRIGGER gate BEFORE UPDATE ON tidemark.projection_rebuilds FOR EACH ROW
      WHEN (old.scanned IS NOT NULL OR old.done AND old.tid > 0) EXECUTE FUNCTION gate()`);
  const { rows } = await owner.query<{ shot: string; task: string }>(
    'SELECT entity_id::text AS shot, id::text AS task FROM task ORDER BY id',
  );
  const writing = writers(rows);
  const names = projections.map(({ name }) => name);
  expect(names).toEqual(['entity_task_status', 'project_progress', 'task_cycle_time']);
  for (const name of names) {
    await waitUntil(() => writing.count() > 50, 'the servers write');
    const before = writing.count();
    expect(await rebuilt(name)).toMatchObject({ resumed: false });
    await killedMidway(name);
    const killed = writing.count();
    await waitUntil(() => writing.count() > killed + 20, 'the servers write on');
    const { resumed, tid } = await rebuilt(name);
    expect([resumed, tid > 0, writing.count() > before + 20]).toEqual([true, true, true]);
  }
  await writing.end();
  const behind = 'SELECT FROM tidemark.projections WHERE tid < (SELECT max(tid) FROM tidemark.journal)';
  await waitUntil(async () => (await owner.query(behind)).rowCount === 0, 'the projections reflect all of it');
  const { end, stdout, stderr } = await tidemark('verify');
  expect([end, stdout, stderr]).toEqual([0, '', expect.stringMatching(/: no differences\n$/)]);
}, 180_000);
