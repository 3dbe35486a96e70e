import { sql } from 'kysely';
import { KernelError, translate } from '#libs/database';
import { type Actor, type May, type ModelTransaction, queryable, type Row, type Writer } from '#libs/journal';
import { type FieldError, refuse } from '../refuse.ts';
import { noRecord } from './record.queries.ts';
import { parseId } from './record-kind.ts';
import { task, taskComment } from './records.ts';
import { type StatusKinds, type TaskState } from './reduce-task.ts';
import { type JudgedTask, lockTasks, statusKinds, type Task } from './task.queries.ts';
import { checkTask, deltaOf, editOf, stateOf, type TaskDelta, type TaskEdit, textErrors } from './task-edit.ts';

export const MAX_BULK = 1_000;

export interface StatusUpdate {
  readonly task_id: string;
  readonly status: string;
  readonly comment?: string | undefined;
}

/** What became of one update. */
export interface StatusOutcome {
  readonly task_id: string;
  readonly outcome: 'changed' | 'unchanged' | 'refused';
  readonly old_status: string | null;
  readonly status: string | null;
  /** Why it was refused. */
  readonly code?: 'not_found' | 'forbidden' | 'invalid';
  readonly message?: string;
}

/** The tid of all changes, null when there was none, and the outcomes in the order asked. */
export interface BulkChanged {
  readonly tid: number | null;
  readonly results: readonly StatusOutcome[];
}

export interface BulkOptions {
  readonly may?: May | undefined;
  /** Changes what can be, and says of the rest why not; else one that cannot be refuses all. */
  readonly partial?: boolean;
}

const ATTEMPTS = 3;

/**
 * Brings many tasks to a status each, under one tid; tasks are locked in the order of their ids, and the number of statements does not
 * depend on theirs. Throws `invalid` that names each task that is unknown, given twice, or cannot come to its status; `forbidden` when the
 * caller may not change some and nothing else is wrong.
 */
export async function changeStatuses(
  writer: Writer,
  actor: Actor,
  updates: readonly StatusUpdate[],
  options: BulkOptions = {},
): Promise<BulkChanged> {
  if (updates.length === 0 || updates.length > MAX_BULK) {
    refuse([{ path: 'updates', message: `give 1 to ${MAX_BULK} updates, not ${updates.length}` }]);
  }
  refuse(updates.flatMap(({ comment = '' }, n) => textErrors(comment).map((error) => at(n, error))));
  for (let attempt = 1; ; attempt++) {
    try {
      const { tid, result } = await writer.transaction(actor, (tx) => changeAll(writer, tx, updates, options));
      return { tid: result.some(({ outcome }) => outcome === 'changed') ? tid : null, results: result };
    } catch (error) {
      // Tasks are locked in one order here; SQL from elsewhere may have locked them in another.
      const known = translate(error);
      const again = known instanceof KernelError && known.code === 'conflict' && !writer.open && attempt < ATTEMPTS;
      if (!again) throw error;
    }
  }
}

interface Judged {
  readonly before: Task;
  readonly delta: TaskDelta | undefined;
}

async function changeAll(
  writer: Writer,
  tx: ModelTransaction,
  updates: readonly StatusUpdate[],
  { may, partial }: BulkOptions,
): Promise<StatusOutcome[]> {
  const ids = updates.map(({ task_id }) => parseId(task, task_id));
  const db = queryable(tx);
  const found = new Map(
    (await lockTasks(db, [...new Set(ids.flatMap((id) => id ?? []))])).map((row) => [row.task.id, row]),
  );
  const kinds = await statusKinds(db);
  const now = new Date();
  const judged = updates.map((update, n): Judged | KernelError => {
    const id = ids[n];
    if (id !== undefined && ids.indexOf(id) !== n) return new KernelError('invalid', `task ${id} is given twice`);
    const row = id === undefined ? undefined : found.get(id);
    if (row === undefined) return noRecord(task, update.task_id);
    return judge(row, editOf({ status: update.status, comment: update.comment }, now), kinds, may);
  });
  if (!partial) refuseAll(judged);
  const changes = judged.flatMap((one) =>
    one instanceof KernelError || !one.delta ? [] : [{ ...one, delta: one.delta }],
  );
  if (changes.length > 0) stageAll(writer, tx, changes);
  return judged.map((one, n) => outcomeOf(updates[n] as StatusUpdate, one));
}

function judge(row: JudgedTask, edit: TaskEdit, kinds: StatusKinds, may: May | undefined): Judged | KernelError {
  try {
    checkTask(row, edit, { may }, true);
    return { before: row.task, delta: deltaOf(row, edit, kinds) };
  } catch (error) {
    if (error instanceof KernelError) return error;
    throw error;
  }
}

function refuseAll(judged: readonly (Judged | KernelError)[]): void {
  const errors = judged.flatMap((one, n) => (one instanceof KernelError ? [{ n, one }] : []));
  const forbidden = errors.every(({ one }) => one.code === 'forbidden');
  refuse(
    errors.map(({ n, one }) => at(n, { path: '', message: one.message })),
    forbidden ? 'forbidden' : 'invalid',
  );
}

function at(n: number, { path, message }: FieldError): FieldError {
  return { path: `updates.${n}${path === '' ? '' : `.${path}`}`, message: `updates.${n}: ${message}` };
}

function outcomeOf({ task_id }: StatusUpdate, one: Judged | KernelError): StatusOutcome {
  if (one instanceof KernelError) {
    const code = one.code as NonNullable<StatusOutcome['code']>;
    return { task_id, outcome: 'refused', old_status: null, status: null, code, message: one.message };
  }
  const { before, delta } = one;
  const status = (delta?.values['status'] as string | undefined) ?? before.status;
  return { task_id, outcome: delta ? 'changed' : 'unchanged', old_status: before.status, status };
}

const STATE = Object.keys(stateOf({} as TaskState));

/**
 * One flush, whatever the number of tasks: two plain INSERTs share a statement and so a tid. The tasks are locked, so each meets its row and
 * changes it; the first is an UPDATE with values of its own for each row.
 */
function stageAll({ db }: Writer, tx: ModelTransaction, changes: readonly { before: Task; delta: TaskDelta }[]): void {
  const columns = [...STATE, 'comments'];
  const rows = changes.map(({ before, delta }) => {
    const { id, project_id, entity_type, entity_id, task_type, initial_status } = before;
    const after: Row = { ...before, ...delta.values };
    return {
      ...{ id, project_id, entity_type, entity_id, task_type, initial_status },
      ...Object.fromEntries(columns.map((column) => [column, after[column]])),
    };
  });
  const update = Object.fromEntries(columns.map((column) => [column, sql.ref(`excluded.${column}`)]));
  tx.stage(
    db
      .insertInto(task.resource.table)
      .values(rows)
      .onConflict((conflict) => conflict.column('id').doUpdateSet(update)),
  );
  const comments = changes.flatMap(({ before: { id, project_id }, delta: { comment } }) =>
    comment ? [{ task_id: id, project_id, ...comment }] : [],
  );
  if (comments.length > 0) tx.stage(db.insertInto(taskComment.table).values(comments));
}
