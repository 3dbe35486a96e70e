import { KernelError } from '#libs/database';
import {
  type Actor,
  type Condition,
  checkRow,
  holds,
  type May,
  type ModelTransaction,
  queryable,
  type Row,
  staleError,
  versionTag,
  type Writer,
} from '#libs/journal';
import { refuse } from '../refuse.ts';
import { dependentsOf, findRecord, missingReferences, noRecord, shownColumns } from './record.queries.ts';
import { checkRecord } from './record-fields.ts';
import { nounOf, parseId, type RecordKind, type Shown } from './record-kind.ts';
import { taskComment, taskStatus } from './records.ts';

/** What a change depends on, and what its maker may do; without them it is made whatever stands, and everything is allowed. */
export interface RecordOptions {
  readonly condition?: Condition | undefined;
  readonly may?: May | undefined;
}

/** The highest tid a command drew, null when it changed nothing, and the record after it. */
export interface RecordChanged {
  readonly tid: number | null;
  readonly record: Shown;
}

/**
 * Makes a record. Throws `invalid` that lists every field that is wrong and every reference to what is not there, `conflict` for a name that
 * is taken, `forbidden`.
 */
export async function createRecord(
  writer: Writer,
  actor: Actor,
  kind: RecordKind,
  { id: givenId, ...given }: Row,
  { condition, may }: RecordOptions = {},
): Promise<RecordChanged & { tid: number }> {
  if (condition && !holds(condition, undefined)) throw staleError(condition, `a ${nounOf(kind)} that is being made`);
  const values = { ...checkRecord(kind, given, 'create'), ...newId(kind, givenId) };
  checkKind(kind, values);
  checkPlace(kind, values, may);
  refuse(await missingReferences(writer.database, kind, values));
  if (kind === taskStatus) await refuseFormerStatus(writer, String(values['id']));
  const { tid, result } = await writer.transaction(actor, async (tx) => {
    if (values['is_default'] === true) {
      await lockStatuses(tx);
      await unsetDefault(writer, tx);
    }
    return tx.create(kind.resource, values);
  });
  return { tid: tid as number, record: await readBack(writer, kind, String((result.row as Row)['id'])) };
}

/**
 * Changes fields of a record. Throws `not_found`, `invalid`, `conflict` for a name that is taken, `forbidden`, `stale` when the condition
 * does not hold.
 */
export async function changeRecord(
  writer: Writer,
  actor: Actor,
  kind: RecordKind,
  id: string,
  given: Row,
  options: RecordOptions = {},
): Promise<RecordChanged> {
  const key = idOf(kind, id);
  const checked = checkRecord(kind, given, 'change');
  const { tid } = await writer.transaction(actor, async (tx) => {
    if (checked['is_default'] === true) await lockStatuses(tx);
    const before = await lockRecord(tx, kind, key, 'modify', options);
    const values = changedValues(before, checked);
    if (Object.keys(values).length === 0) return;
    const project = before['project_id'];
    refuse(await missingReferences(queryable(tx), kind, { ...values, ...(project ? { project_id: project } : {}) }));
    if (values['is_default'] === true) await unsetDefault(writer, tx);
    tx.save(kind.resource, key, values);
  });
  return { tid, record: await readBack(writer, kind, key) };
}

/**
 * Deletes a record; its history stays. A task goes with its comments, a shot or an asset with its tasks; anything else that records refer to
 * stays: `conflict`. Throws `not_found`, `forbidden`, `stale` when the condition does not hold.
 */
export async function deleteRecord(
  writer: Writer,
  actor: Actor,
  kind: RecordKind,
  id: string,
  options: RecordOptions = {},
): Promise<{ id: string; tid: number }> {
  const key = idOf(kind, id);
  const { tid } = await writer.transaction(actor, async (tx) => {
    await lockRecord(tx, kind, key, 'delete', options);
    const dependents = await dependentsOf(queryable(tx), kind, key);
    if (dependents.length > 0) {
      throw new KernelError('conflict', `${nounOf(kind)} ${key} cannot be deleted: in use by ${dependents.join(', ')}`);
    }
    if (kind.name === 'shot' || kind.name === 'asset') await deleteTasks(writer, tx, kind.name, key);
    if (kind.name === 'task') deleteComments(writer, tx, [key]);
    tx.delete(kind.resource, key);
  });
  return { id: key, tid: tid as number };
}

/** The id of a text. Throws `not_found` for what no record of the kind can be called: it is as unknown as any other. */
export function idOf(kind: RecordKind, id: string): string {
  const key = parseId(kind, id);
  if (key === undefined) throw noRecord(kind, id);
  return key;
}

/** Locks a record until the end, so that nobody begins to refer to it, and judges by it whether it may be changed. */
async function lockRecord(
  tx: ModelTransaction,
  kind: RecordKind,
  id: string,
  action: 'modify' | 'delete',
  { condition, may }: RecordOptions,
): Promise<Shown> {
  const { rows } = await queryable(tx).query<Shown>(
    `SELECT ${shownColumns(kind)} FROM ${kind.name} e WHERE e.id = $1 FOR ${action === 'delete' ? 'UPDATE' : 'NO KEY UPDATE'}`,
    [id],
  );
  const row = rows[0];
  if (!row) throw noRecord(kind, id);
  checkRow(may, { resource: kind.name, action, project: projectOf(kind, row), missing: () => noRecord(kind, id) });
  if (condition && !holds(condition, versionTag(row))) {
    throw staleError(condition, `${nounOf(kind)} ${id}`, versionTag(row));
  }
  return row;
}

/** The project by which a record is judged; null: it belongs to none. */
export function projectOf({ project }: RecordKind, row: Row): string | null {
  return project === undefined ? null : String(row[project]);
}

/** Those of some values that a record does not have yet. */
export function changedValues(before: Row, values: Row): Row {
  return Object.fromEntries(
    Object.entries(values).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name])),
  );
}

async function readBack(writer: Writer, kind: RecordKind, id: string): Promise<Shown> {
  const record = await findRecord(writer.database, kind, id);
  if (!record) throw new KernelError('conflict', `${nounOf(kind)} ${id} has been deleted meanwhile`);
  return record;
}

function newId(kind: RecordKind, given: unknown): Row {
  if (kind.id === 'number') {
    refuse(given === undefined ? [] : [{ path: 'id', message: 'id cannot be given: the database makes it' }]);
    return {};
  }
  const id = parseId(kind, given);
  const message = 'id must be a short name: small letters, digits, _, . and -, at most 50, and not "all"';
  refuse(id === undefined ? [{ path: 'id', message }] : []);
  return { id };
}

/** A status means one thing at most. */
function checkKind(kind: RecordKind, values: Row): void {
  if (kind !== taskStatus) return;
  const flags = ['is_wip', 'is_feedback', 'is_retake', 'is_done', 'is_not_applicable'].filter((name) => values[name]);
  const message = `a task status is one of these at most: ${flags.join(', ')}`;
  refuse(flags.length > 1 ? flags.map((path) => ({ path, message })) : []);
}

/** Judges making a record by its project. One that may not be seen does not exist. */
function checkPlace(kind: RecordKind, values: Row, may: May | undefined): void {
  const project = kind.project === 'project_id' ? String(values['project_id']) : null;
  const message = `there is no project ${project}`;
  const missing = () => new KernelError('invalid', message, { errors: [{ path: 'project_id', message }] });
  if (project !== null) checkRow(may, { resource: kind.name, action: 'create', project, missing });
  else if (may && !may(kind.name, 'create')) {
    throw new KernelError('forbidden', `this needs the permission ${kind.name}:create`);
  }
}

/** What a status meant is said by the journal of tasks for ever, so its name is not given to another one. */
async function refuseFormerStatus(writer: Writer, id: string): Promise<void> {
  const { rows } = await writer.database.query('SELECT 1 FROM task_status_journal WHERE id = $1 LIMIT 1', [id]);
  if (rows.length > 0) throw new KernelError('conflict', `there is or was a task status ${id}: take another name`);
}

/** Of two statuses that become the default at once, the second waits and prevails: all are locked, before one of them is. */
async function lockStatuses(tx: ModelTransaction): Promise<void> {
  await queryable(tx).query('SELECT 1 FROM task_status ORDER BY id FOR NO KEY UPDATE');
}

/** Lets the status that is the default be so no more. */
async function unsetDefault(writer: Writer, tx: ModelTransaction): Promise<void> {
  tx.stage(writer.db.updateTable('task_status').set({ is_default: false }).where('is_default', '=', true));
  await tx.flush();
}

async function deleteTasks(writer: Writer, tx: ModelTransaction, entity: string, id: string): Promise<void> {
  const { rows } = await queryable(tx).query<{ id: string }>(
    'SELECT id::text AS id FROM task WHERE entity_type = $1 AND entity_id = $2 ORDER BY id FOR UPDATE',
    [entity, id],
  );
  if (rows.length === 0) return;
  const ids = rows.map((row) => row.id);
  deleteComments(writer, tx, ids);
  tx.stage(writer.db.deleteFrom('task').where('id', 'in', ids));
}

function deleteComments(writer: Writer, tx: ModelTransaction, tasks: readonly string[]): void {
  tx.stage(writer.db.deleteFrom(taskComment.table).where('task_id', 'in', tasks));
}
