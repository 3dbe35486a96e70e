import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Database } from '#libs/database';
import type { EntityTaskStatus, Inconsistency, TaskDetail } from '#libs/resources';
import { command, type Ended } from '../cli/command.ts';
import { endProcess, type ServerProcess, serverProcess } from '../cli/server-process.ts';
import { VOCABULARY } from '../resources/production-fixture.ts';
import { pastTriggers } from '../support/past-triggers.ts';
import { testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

const HEALTHY = 2;
/** The id of a task that is inserted past the triggers. */
const FORGED = '900000';

/** A shot with a layout to do and a comp at work, and what the projection shows of it; its rig was made and deleted. */
export interface Shot {
  readonly id: string;
  readonly layout: string;
  readonly comp: string;
  readonly shown: EntityTaskStatus;
  readonly rig: TaskDetail;
}

interface Damage {
  readonly sql: (shot: Shot) => readonly string[];
  /** What the report has to say of it, and nothing else. */
  readonly found: (shot: Shot) => Inconsistency;
}

const shownAs = ({ id }: Shot, set: string) => [
  `UPDATE entity_task_status SET ${set} WHERE entity_type = 'shot' AND entity_id = ${id}`,
];
const ofTask = (task: string) => ({ field: `tasks.${task}.status`, source: 'journal' }) as const;
const projection = { source: 'projection' } as const;
const wholeRow = { field: 'entity_task_status', ...projection } as const;

/** Ten ways to break what is said of a shot, by a superuser, past the triggers. */
export const DAMAGES: Readonly<Record<string, Damage>> = {
  'the status of a task altered': {
    sql: ({ comp }) => [`UPDATE task SET status = 'done' WHERE id = ${comp}`],
    found: ({ comp }) => ({ kind: 'wrong', ...ofTask(comp), expected: 'wip', actual: 'done' }),
  },
  'a task inserted': {
    sql: ({ id }) => [
      `INSERT INTO task (id, project_id, entity_type, entity_id, task_type, name, initial_status, status) OVERRIDING SYSTEM VALUE
         SELECT ${FORGED}, project_id, 'shot', id, 'comp', 'forged', 'todo', 'todo' FROM shot WHERE id = ${id}`,
    ],
    found: () => ({ kind: 'extra', ...ofTask(FORGED), expected: null, actual: 'todo' }),
  },
  'a task deleted with its comments': {
    sql: ({ comp }) => [`DELETE FROM task_comment WHERE task_id = ${comp}`, `DELETE FROM task WHERE id = ${comp}`],
    found: ({ comp }) => ({ kind: 'missing', ...ofTask(comp), expected: 'wip', actual: null }),
  },
  'a row of the projection removed': {
    sql: ({ id }) => [`DELETE FROM entity_task_status WHERE entity_type = 'shot' AND entity_id = ${id}`],
    found: ({ shown }) => ({ kind: 'missing', ...wholeRow, expected: shown, actual: null }),
  },
  'a status altered in the projection': {
    sql: (shot) => shownAs(shot, `task_status = task_status || '{"comp": "done"}'`),
    found: () => ({ kind: 'wrong', field: 'task_status.comp', ...projection, expected: 'wip', actual: 'done' }),
  },
  'a row of the projection there twice': {
    sql: ({ id }) => [
      'ALTER TABLE entity_task_status DROP CONSTRAINT entity_task_status_pkey',
      `INSERT INTO entity_task_status SELECT * FROM entity_task_status WHERE entity_id = ${id}`,
    ],
    found: ({ shown }) => ({ kind: 'duplicate', ...wholeRow, expected: null, actual: shown }),
  },
  'a detail altered': {
    sql: (shot) => shownAs(shot, `task_details = jsonb_set(task_details, '{1,priority}', '3')`),
    found: ({ comp }) => ({
      ...{ kind: 'wrong', field: `task_details.${comp}.priority`, ...projection, expected: 0, actual: 3 },
    }),
  },
  'a deleted task shown again': {
    sql: (shot) => shownAs(shot, `task_details = task_details || '${JSON.stringify(shot.rig)}'`),
    found: ({ rig }) => ({
      ...{ kind: 'extra', field: `task_details.${rig.id}`, ...projection, expected: null, actual: rig },
    }),
  },
  'details out of order': {
    sql: (shot) => shownAs(shot, 'task_details = jsonb_build_array(task_details -> 1, task_details -> 0)'),
    found: ({ layout, comp }) => ({
      ...{ kind: 'wrong', field: 'task_details', ...projection, expected: [layout, comp], actual: [comp, layout] },
    }),
  },
  'the last status taken out of the history': {
    sql: ({ comp }) => [
      `DELETE FROM task_history h WHERE id = '${comp}' AND field = 'status' AND tid = (
         SELECT max(tid) FROM task_history l WHERE l.id = h.id AND l.field = 'status')`,
    ],
    found: ({ comp }) => ({ kind: 'wrong', ...ofTask(comp), expected: 'todo', actual: 'wip' }),
  },
};

/** What a request is answered: status, headers and parsed body. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: the answers of routes that the tests know
  readonly body: any;
}

/** A server with a project of twelve shots: one for each damage, and two that stay healthy. */
export interface DamagedProduction {
  readonly owner: Database;
  readonly server: ServerProcess;
  readonly project: string;
  readonly shots: readonly Shot[];
  /** Runs a command to its end. */
  tidemark(...args: string[]): Promise<Ended>;
  /** Asks the server as a coordinator, ann. */
  ask(method: string, path: string, body?: object): Promise<Answered>;
  /** Damages each shot in its way. */
  damage(): Promise<void>;
  /** Everything that is stored of tasks, and the head of the journal. */
  contents(): Promise<unknown>;
  /** Waits until the projections reflect the journal. */
  caughtUp(): Promise<void>;
  close(): Promise<void>;
}

export async function damagedProduction(): Promise<DamagedProduction> {
  const test = await testDatabase();
  const owner = Database.open({ url: test.ownerUrl, poolSize: 2 });
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-damage-'));
  const tidemark = (...args: string[]) => command(args, { DATABASE_URL: test.url }, folder);
  await owner.query(VOCABULARY);
  await owner.query(`UPDATE task_type SET entity_type = NULL WHERE id = 'rig'`);
  // it must not enter anything by itself
  const server = await serverProcess({ DATABASE_URL: test.url, TIDEMARK_CHECK_ROWS_PER_SECOND: '0' }, folder);
  const { stdout } = await tidemark('token', 'create', '--user', 'ann', '--role', 'coordinator');
  const token = /tdm_\S+/.exec(stdout)?.[0];
  const ask: DamagedProduction['ask'] = async (method, path, body) => {
    const headers = { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) };
    const answer = await fetch(server.url + path, { method, headers, ...(body && { body: JSON.stringify(body) }) });
    return { status: answer.status, headers: answer.headers, body: JSON.parse(await answer.text()) };
  };
  const caughtUp = () =>
    waitUntil(async () => {
      const behind = `SELECT FROM tidemark.projections WHERE tid < (SELECT max(tid) FROM tidemark.journal WHERE resource IN ('task', 'shot'))`;
      return (await owner.query(behind)).rowCount === 0;
    }, 'the projections reflect the journal');
  const { project, shots } = await produce({ owner, ask, caughtUp });
  return {
    ...{ owner, server, project, shots, tidemark, ask, caughtUp },
    async damage() {
      const statements = Object.values(DAMAGES).flatMap(({ sql }, n) => sql(shots[n] as Shot));
      await pastTriggers({ owner }, ...statements);
    },
    contents: () => contents(owner),
    async close() {
      await endProcess(server, 'SIGKILL');
      await owner.close();
      await test.drop();
      await rm(folder, { recursive: true });
    },
  };
}

async function produce({
  owner,
  ask,
  caughtUp,
}: Pick<DamagedProduction, 'owner' | 'ask' | 'caughtUp'>): Promise<Pick<DamagedProduction, 'project' | 'shots'>> {
  const { body: made } = await ask('POST', '/projects', { name: 'Big' });
  const project: string = made.id;
  await owner.query(`INSERT INTO shot (project_id, name) SELECT $1, 'S' || n FROM generate_series(1, $2::int) n`, [
    ...[project, Object.keys(DAMAGES).length + HEALTHY],
  ]);
  await owner.query(
    `INSERT INTO task (project_id, entity_type, entity_id, task_type, initial_status, status)
       SELECT project_id, 'shot', id, type, 'todo', 'todo' FROM shot, unnest('{layout,comp,rig}'::text[]) WITH ORDINALITY t(type, n)
         ORDER BY id, n`,
  );
  await caughtUp();
  const before = await readShots(owner);
  await owner.query(`DELETE FROM task WHERE task_type = 'rig'`);
  await ask('PUT', '/tasks/bulk/status', {
    updates: before.map(({ shown }) => ({ task_id: at(shown, 1).id, status: 'wip' })),
  });
  await waitUntil(
    async () => (await owner.query('SELECT FROM propagation')).rowCount === before.length,
    'all are told',
  );
  await caughtUp();
  const after = await readShots(owner);
  return {
    project,
    shots: after.map(({ id, shown }, n) => ({
      ...{ id, shown, layout: at(shown, 0).id, comp: at(shown, 1).id },
      rig: at((before[n] as Pick<Shot, 'shown'>).shown, 2),
    })),
  };
}

function at({ task_details }: EntityTaskStatus, n: number): TaskDetail {
  return task_details[n] as TaskDetail;
}

async function readShots(owner: Database): Promise<Pick<Shot, 'id' | 'shown'>[]> {
  const { rows } = await owner.query<{ id: string } & EntityTaskStatus>(
    'SELECT entity_id::text AS id, task_status, task_details FROM entity_task_status ORDER BY entity_id',
  );
  return rows.map(({ id, ...shown }) => ({ id, shown }));
}

async function contents(owner: Database): Promise<unknown> {
  const tables = ['task', 'task_comment', 'task_journal', 'task_history', 'entity_task_status', 'project_progress'];
  const { rows } = await owner.query(
    `SELECT (SELECT max(tid) FROM tidemark.journal) AS head, ${tables
      .map((table) => `(SELECT json_agg(t ORDER BY t) FROM ${table} t) AS ${table}`)
      .join(', ')}`,
  );
  return rows;
}
