import { KernelError, type Queryable } from '#libs/database';
import {
  type Actor,
  checkRow,
  holds,
  type ModelTransaction,
  queryable,
  type Row,
  staleError,
  type Writer,
} from '#libs/journal';
import { refuse } from '../refuse.ts';
import { idOf, type RecordOptions } from './record.commands.ts';
import { missingReferences, noRecord } from './record.queries.ts';
import { checkRecord } from './record-fields.ts';
import { task, taskComment } from './records.ts';
import { newTask } from './reduce-task.ts';
import {
  commentsOf,
  findDefaultStatus,
  findTask,
  type JudgedTask,
  lockTasks,
  statusKinds,
  type Task,
} from './task.queries.ts';
import { checkTask, deltaOf, editOf, isBackDated, type TaskDelta, type TaskEdit, type TaskPatch } from './task-edit.ts';

/** The highest tid that a change drew, null when it changed nothing; the task after it, and the status that it had before. */
export interface TaskChanged {
  readonly tid: number | null;
  readonly task: Task;
  readonly old_status: string;
}

/**
 * Makes a task of a shot or an asset. It begins at a status that is given, else at the default one. Throws `invalid` that lists what is wrong,
 * `conflict` when the entity has a task of that type and name.
 */
export async function createTask(
  writer: Writer,
  actor: Actor,
  { id, ...given }: Row,
  { condition, may }: RecordOptions = {},
): Promise<TaskChanged & { tid: number }> {
  if (condition && !holds(condition, undefined)) throw staleError(condition, 'a task that is being made');
  refuse(id === undefined ? [] : [{ path: 'id', message: 'id cannot be given: the database makes it' }]);
  const fields = checkRecord(task, given, 'create');
  const project_id = await projectOfEntity(writer.database, fields, may);
  const status = fields['status'] ?? (await findDefaultStatus(writer.database));
  refuse(status === undefined ? [{ path: 'status', message: 'there is no task status to begin with' }] : []);
  const values = { ...fields, project_id, ...newTask(status as string), initial_status: status };
  refuse(await missingReferences(writer.database, task, { ...fields, project_id, status }));
  refuse(await unfitType(writer.database, fields));
  const { tid, result } = await writer.transaction(actor, async (tx) => {
    await keepPersons(tx, fields);
    return tx.create(task.resource, values);
  });
  const made = await findTask(writer.database, String((result.row as Row)['id']));
  if (!made) throw new KernelError('conflict', 'the task has been deleted meanwhile');
  return { tid: tid as number, task: made.task, old_status: made.task.initial_status };
}

/**
 * Changes fields of a task, brings it to a status, comments on it: any of these in one change. What comes of a comment is judged by the task
 * as it stands, of which nobody makes another one meanwhile; one that is dated before the last comment moves the task as if it had been
 * there all along. Throws `not_found`, `invalid` also for one retake more than allowed, `forbidden`, `stale` when the condition does not hold.
 */
export async function changeTask(
  writer: Writer,
  actor: Actor,
  id: string,
  patch: TaskPatch,
  options: RecordOptions = {},
): Promise<TaskChanged> {
  const key = idOf(task, id);
  const edit = editOf(patch, new Date());
  const by = edit.text === '' ? actor : { ...actor, comment: edit.text };
  // Persons are to be there when the change is committed, so they are locked.
  const simple = !writer.open && edit.fields['assignees'] === undefined;
  const done = simple ? await changeAsRead(writer, by, key, edit, options) : undefined;
  return done ?? changeLocked(writer, by, key, edit, options);
}

/**
 * The usual change: read, then save that version. Two round trips. Undefined when somebody else has changed the task in between, and
 * for a comment before others.
 */
async function changeAsRead(
  writer: Writer,
  actor: Actor,
  id: string,
  edit: TaskEdit,
  options: RecordOptions,
): Promise<TaskChanged | undefined> {
  const [found, kinds] = await Promise.all([findTask(writer.database, id), statusKinds(writer.database)]);
  if (!found) throw noRecord(task, id);
  checkTask(found, edit, options, commented(edit));
  if (isBackDated(edit, found.task)) return undefined;
  const delta = deltaOf(found, edit, kinds);
  if (!delta) return { tid: null, task: found.task, old_status: found.task.status };
  try {
    const { tid } = await writer.transaction(actor, (tx) => stageDelta(tx, found.task, delta));
    const row_version = found.task.row_version + 1;
    const after = { ...found.task, ...delta.values, row_version } as Task;
    return { tid, task: after, old_status: found.task.status };
  } catch (error) {
    if (error instanceof KernelError && LOST.has(error.code)) return undefined;
    throw error;
  }
}

/** Changed, deleted, or commented on past the task. */
const LOST = new Set(['stale', 'not_found', 'conflict']);

/** For a task that many change at once, and inside a larger transaction: whoever has the lock is not overtaken. */
async function changeLocked(
  writer: Writer,
  actor: Actor,
  id: string,
  edit: TaskEdit,
  options: RecordOptions,
): Promise<TaskChanged> {
  const { tid, result } = await writer.transaction(actor, async (tx) => {
    const db = queryable(tx);
    const [found] = await lockTasks(db, [id]);
    if (!found) throw noRecord(task, id);
    checkTask(found, edit, options, commented(edit));
    refuse(await missingReferences(db, task, edit.fields));
    await keepPersons(tx, edit.fields);
    const kinds = await statusKinds(db);
    const comments = isBackDated(edit, found.task) ? (await commentsOf(db, [id])).get(id) : [];
    const delta = deltaOf(found, edit, kinds, comments);
    if (!delta) return { task: found.task, old_status: found.task.status, changed: false };
    stageDelta(tx, found.task, delta);
    await tx.flush();
    const [after] = (await lockTasks(db, [id])) as [JudgedTask];
    return { task: after.task, old_status: found.task.status, changed: true };
  });
  const { changed, ...rest } = result;
  return { tid: changed ? tid : null, ...rest };
}

function commented({ status, text }: TaskEdit): boolean {
  return status !== undefined || text !== '';
}

/** Stages a change in one flush with its comment, if the task still stands as it was read. */
function stageDelta(tx: ModelTransaction, before: Task, { values, comment }: TaskDelta): void {
  tx.save(task.resource, before.id, values, { ifVersion: before.row_version });
  if (comment) tx.create(taskComment, { task_id: before.id, project_id: before.project_id, ...comment });
}

/** Keeps persons from being deleted until the end of the transaction. */
async function keepPersons(tx: ModelTransaction, { assignees }: Row): Promise<void> {
  const ids = assignees as readonly string[] | undefined;
  if (ids === undefined || ids.length === 0) return;
  const text = 'SELECT id FROM person WHERE id = ANY ($1::bigint[]) ORDER BY id FOR KEY SHARE';
  const { rows } = await queryable(tx).query(text, [ids]);
  if (rows.length < ids.length) throw new KernelError('conflict', 'a person has been deleted meanwhile: try again');
}

/** The project of the entity that a task is made for. One that may not be seen does not exist. */
async function projectOfEntity(db: Queryable, fields: Row, may: RecordOptions['may']): Promise<string> {
  const [type, id] = [String(fields['entity_type']), String(fields['entity_id'])];
  const text = `SELECT project_id::text AS project FROM ${type === 'shot' ? 'shot' : 'asset'} WHERE id = $1`;
  const { rows } = await db.query<{ project: string }>(text, [id]);
  const message = `there is no ${type} ${id}`;
  const missing = () => new KernelError('invalid', message, { errors: [{ path: 'entity_id', message }] });
  const project = rows[0]?.project;
  if (project === undefined) throw missing();
  checkRow(may, { resource: 'task', action: 'create', project, missing });
  return project;
}

async function unfitType(db: Queryable, { task_type, entity_type }: Row) {
  const { rows } = await db.query<{ entity_type: string | null }>('SELECT entity_type FROM task_type WHERE id = $1', [
    task_type,
  ]);
  const only = rows[0]?.entity_type ?? entity_type;
  return only === entity_type
    ? []
    : [{ path: 'task_type', message: `tasks of the type ${task_type} are for ${only}s` }];
}
