import { Database } from '#libs/database';
import { highestTid } from '#libs/dispatch';
import type { Row } from '#libs/journal';
import { createKernel, type Kernel } from '#libs/kernel';
import { compare, compareRebuilt } from '#libs/projection';
import {
  changeTask,
  commentsOf,
  createRecord,
  createTask,
  entityTaskStatus,
  entityTaskStatusProjection,
  projections,
  projectProgressProjection,
  type RecordKind,
  recordKinds,
  replay,
  resources,
  type Shown,
  statusKinds,
  type Task,
  type TaskPatch,
  taskCycleTimeProjection,
} from '#libs/resources';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
export const joe = { author: 'joe' };

export interface ProductionFixture {
  readonly test: TestDatabase;
  readonly owner: Database;
  readonly database: Database;
  readonly kernel: Kernel;
  /** The project, a sequence of it and a shot of that which are there from the beginning. */
  readonly project: string;
  readonly sequence: string;
  readonly shot: string;
  make(kind: RecordKind, fields: Row): Promise<Shown>;
  task(fields?: Row): Promise<Task>;
  /** A shot of its own, and a task of one. */
  freshShot(fields?: Row): Promise<string>;
  fresh(fields?: Row): Promise<Task>;
  /** Changes a task and returns it. */
  change(task: Task, patch: TaskPatch): Promise<Task>;
  /** Waits until the projections of a started kernel reflect what is there. */
  caughtUp(): Promise<void>;
  /** How tasks and projections differ from what their comments, rows and journal say they are: nothing. */
  differences(): Promise<unknown[]>;
  close(): Promise<void>;
}

/** A database with statuses, task types, a project with a shot, and a kernel over it that follows the projections. */
export async function productionFixture(): Promise<ProductionFixture> {
  const test = await testDatabase();
  const owner = Database.open({ url: test.ownerUrl, poolSize: 2 });
  const database = Database.open({ url: test.url });
  await owner.query(VOCABULARY);
  const kernel = createKernel({ database, resources, projections, log: silent });
  await kernel.start();
  const make = async (kind: RecordKind, fields: Row) => (await createRecord(kernel, joe, kind, fields)).record;
  const { id: project } = await make(recordKinds.project, { name: 'Big' });
  const { id: sequence } = await make(recordKinds.sequence, { project_id: project, name: 'SQ1' });
  const { id: shot } = await make(recordKinds.shot, { project_id: project, sequence_id: sequence, name: 'SH1' });
  const names = projections.map(({ name }) => name);
  const caughtUp = async () => kernel.waitFor(await highestTid(database), { projections: names, timeout: 60_000 });
  const task = async (fields: Row = {}) =>
    (await createTask(kernel, joe, { entity_type: 'shot', entity_id: shot, task_type: 'comp', ...fields })).task;
  let made = 0;
  const freshShot = async (fields: Row = {}) => {
    made += 1;
    const values = { project_id: project, sequence_id: sequence, name: `S${made}`, ...fields };
    return (await make(recordKinds.shot, values)).id;
  };
  return {
    ...{ test, owner, database, kernel, project, sequence, shot, make, task, freshShot },
    fresh: async (fields = {}) => task({ entity_id: await freshShot(), ...fields }),
    change: async ({ id }, patch) => (await changeTask(kernel, joe, id, patch)).task,
    caughtUp,
    async differences() {
      await caughtUp();
      return [
        ...(await compare(database, entityTaskStatusProjection)).differences,
        ...(await compare(database, projectProgressProjection)).differences,
        ...(await compareRebuilt(database, taskCycleTimeProjection)).differences,
        ...(await strayTasks(database)),
      ];
    },
    async close() {
      await kernel.stop();
      await Promise.all([owner.close(), database.close()]);
      await test.drop();
    },
  };
}

/** Tasks that are not what the replay of their comments makes of them, and entities whose projection is not what their tasks are. */
async function strayTasks(database: Database): Promise<unknown[]> {
  const { rows } = await database.query<Task>(
    `SELECT id::text AS id, entity_type, entity_id::text AS entity_id, initial_status, status, retake_count, reopened,
         ${['real_start_date', 'real_end_date', 'done_date', 'last_comment_date']
           .map((name) => `to_char(${name} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS ${name}`)
           .join(', ')}
       FROM task`,
  );
  const kinds = await statusKinds(database);
  const comments = await commentsOf(
    database,
    rows.map(({ id }) => id),
  );
  const stray = rows.filter((row) => {
    const { id, entity_type: _, entity_id: __, initial_status, ...state } = row;
    return JSON.stringify(state) !== JSON.stringify(replay(initial_status, comments.get(id) ?? [], kinds));
  });
  const { rows: stored } = await database.query<{ id: string; task_status: unknown; task_details: unknown }>(
    `SELECT entity_id::text AS id, task_status, task_details FROM entity_task_status WHERE entity_type = 'shot'`,
  );
  const ids = [...new Set([...rows.map((row) => row.entity_id), ...stored.map(({ id }) => id)])];
  const expected = await entityTaskStatus(database, 'shot', ids);
  const wrong = ids.filter((id) => {
    const { task_status = {}, task_details = [] } = stored.find((row) => row.id === id) ?? {};
    return !sameJson({ task_status, task_details }, expected.get(id));
  });
  return [...stray, ...wrong.map((id) => ({ shot: id }))];
}

function sameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(a, sorted) === JSON.stringify(b, sorted);
}

function sorted(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export const VOCABULARY = `
  INSERT INTO task_status (id, name, is_default, is_wip, is_feedback, is_retake, is_done, is_not_applicable) VALUES
    ('todo', 'To do', true, false, false, false, false, false), ('wip', 'At work', false, true, false, false, false, false),
    ('review', 'To be seen', false, false, true, false, false, false), ('retake', 'Again', false, false, false, true, false, false),
    ('done', 'Done', false, false, false, false, true, false), ('omit', 'Omitted', false, false, false, false, false, true);
  INSERT INTO task_type (id, name, entity_type, position) VALUES
    ('layout', 'Layout', NULL, 1), ('comp', 'Compositing', NULL, 2), ('rig', 'Rigging', 'asset', 1)`;
