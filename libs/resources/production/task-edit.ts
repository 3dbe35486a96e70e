import { type Condition, checkRow, holds, type May, type Row, staleError, versionTag } from '#libs/journal';
import { characterProblem, lengthProblem } from '../characters.ts';
import { type FieldError, refuse } from '../refuse.ts';
import { changedValues } from './record.commands.ts';
import { noRecord } from './record.queries.ts';
import { checkRecord } from './record-fields.ts';
import { task } from './records.ts';
import { reduceTask, replay, type StatusKinds, type TaskEvent, type TaskState } from './reduce-task.ts';
import type { JudgedTask, Task } from './task.queries.ts';

/** A change of a task: its own fields, and a comment with a status, a text, or both. */
export type TaskPatch = Row & {
  readonly status?: string | undefined;
  readonly comment?: string | undefined;
  /** Of the comment; now, unless given, but never before the last comment. */
  readonly date?: string | undefined;
};

/** A change that was checked: what is to be written depends on the task as it stands. */
export interface TaskEdit {
  readonly fields: Row;
  readonly status: string | undefined;
  readonly text: string;
  readonly date: string | undefined;
  /** The moment at which it is made. */
  readonly now: string;
}

/** Columns that change, and the comment that is written with them. */
export interface TaskDelta {
  readonly values: Row;
  readonly comment: (TaskEvent & { readonly text: string }) | undefined;
}

export const MAX_COMMENT_TEXT = 65_536;
/** Clocks differ by so much at most, in milliseconds. */
const FUTURE = 5 * 60_000;

/** Throws `invalid` that lists everything that is wrong. */
export function editOf({ status, comment = '', date, ...fields }: TaskPatch, now: Date): TaskEdit {
  const blank = comment.trim() === '';
  const errors = [
    ...textErrors(comment),
    ...(status === undefined && blank && date !== undefined
      ? [{ path: 'date', message: 'date is that of a comment: give a status or a comment with it' }]
      : []),
  ];
  const read = date === undefined ? undefined : readMoment(date, now, errors);
  refuse(errors);
  return {
    fields: checkRecord(task, fields, 'change'),
    ...{ status, text: blank ? '' : comment, date: read, now: now.toISOString() },
  };
}

export function textErrors(text: string): FieldError[] {
  const problem = characterProblem(text) ?? lengthProblem(text, MAX_COMMENT_TEXT);
  return problem === undefined ? [] : [{ path: 'comment', message: `comment ${problem}` }];
}

/** A moment of the past in the one form in which moments are compared. */
export function readMoment(given: string, now: Date, errors: FieldError[]): string {
  const shape = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;
  const time = shape.test(given) ? Date.parse(given) : Number.NaN;
  const moment = Number.isNaN(time) ? '' : new Date(time).toISOString();
  if (!/^\d{4}-/.test(moment) || moment < '0001') {
    errors.push({ path: 'date', message: 'date must be a time such as 2026-01-31T12:00:00Z' });
  } else if (time > now.getTime() + FUTURE) errors.push({ path: 'date', message: 'date lies in the future' });
  return moment;
}

/** Whether an edit comes before a comment that is there, so that only the replay of all tells what it makes of the task. */
export function isBackDated({ date }: TaskEdit, { last_comment_date }: Task): boolean {
  return date !== undefined && last_comment_date !== null && date < last_comment_date;
}

/**
 * What an edit changes in a task as it stands; undefined when nothing. An edit that is back-dated needs the task's comments. Throws
 * `invalid` for an unknown status, and for one retake more than the task may have.
 */
export function deltaOf(
  { task: before, max_retakes }: JudgedTask,
  edit: TaskEdit,
  kinds: StatusKinds,
  comments: readonly TaskEvent[] = [],
): TaskDelta | undefined {
  const { fields, status, text, date, now } = edit;
  const values = changedValues(before, fields);
  // What the task is already needs no comment, unless somebody has something to say, or to say when it was.
  const says = text !== '' || (status !== undefined && (status !== before.status || date !== undefined));
  if (!says) return Object.keys(values).length === 0 ? undefined : { values, comment: undefined };
  const last = before.last_comment_date;
  const event = {
    number: before.comments + 1,
    date: date ?? (last !== null && last > now ? last : now),
    status: status ?? null,
  };
  const after = isBackDated(edit, before)
    ? replay(before.initial_status, [...comments, event], kinds)
    : reduceTask(stateOf(before), event, kinds);
  checkCap(before, after, max_retakes);
  return {
    values: { ...values, ...changedState(before, after), comments: event.number },
    comment: { ...event, text },
  };
}

/** What of a task follows from its comments. */
export function stateOf(row: TaskState): TaskState {
  const { status, retake_count, reopened, real_start_date, real_end_date, done_date, last_comment_date } = row;
  return { status, retake_count, reopened, real_start_date, real_end_date, done_date, last_comment_date };
}

/** What of a task's state has changed. */
export function changedState(before: TaskState, after: TaskState): Row {
  return changedValues(before as unknown as Row, after as unknown as Row);
}

/** Throws `not_found`, `forbidden`, `stale`. An edit of fields needs another permission than a comment. */
export function checkTask(
  { task: row }: JudgedTask,
  { fields }: Pick<TaskEdit, 'fields'>,
  { condition, may }: { condition?: Condition | undefined; may?: May | undefined },
  comments: boolean,
): void {
  const missing = () => noRecord(task, row.id);
  const actions = [...(Object.keys(fields).length > 0 ? ['modify'] : []), ...(comments ? ['status'] : [])];
  for (const action of actions) checkRow(may, { resource: 'task', action, project: row.project_id, missing });
  if (actions.length === 0) checkRow(may, { resource: 'task', action: 'read', project: row.project_id, missing });
  if (condition && !holds(condition, versionTag(row))) {
    throw staleError(condition, `task ${row.id}`, versionTag(row));
  }
}

function checkCap(before: TaskState, after: TaskState, max: number | null): void {
  if (max === null || after.retake_count <= before.retake_count || after.retake_count <= max) return;
  const message = `the task may be sent back ${max === 1 ? 'once' : `${max} times`} at most`;
  refuse([{ path: 'status', message }]);
}
