import { KernelError } from '#libs/database';

/** What a status means for the tasks that are at it; `open`: nothing in particular, as before the work begins. */
export type StatusKind = 'open' | 'wip' | 'feedback' | 'retake' | 'done' | 'not_applicable';
export type StatusKinds = ReadonlyMap<string, StatusKind>;

/** What follows from a task's comments. Dates are RFC 3339 in UTC with milliseconds, so that their order is that of texts. */
export interface TaskState {
  readonly status: string;
  readonly retake_count: number;
  /** It was done once, and left that. */
  readonly reopened: boolean;
  readonly real_start_date: string | null;
  readonly real_end_date: string | null;
  readonly done_date: string | null;
  readonly last_comment_date: string | null;
}

/** A comment, as far as it moves a task. `number` is its place among those of one date: the order in which they were written. */
export interface TaskEvent {
  readonly number: number;
  readonly date: string;
  /** What the task comes to with it; null: a remark. */
  readonly status: string | null;
}

/** A task before its first comment. */
export function newTask(status: string): TaskState {
  return {
    ...{ status, retake_count: 0, reopened: false },
    ...{ real_start_date: null, real_end_date: null, done_date: null, last_comment_date: null },
  };
}

/**
 * A task after a comment that comes after all others: the one rule for what is written live, replayed and validated. The status that a task
 * has already is no change of it. Throws `invalid` for a status of which it is not told the kind.
 */
export function reduceTask(before: TaskState, { status, date }: TaskEvent, kinds: StatusKinds): TaskState {
  const commented = { ...before, last_comment_date: date };
  if (status === null || status === before.status) return commented;
  const from = kindOf(before.status, kinds);
  const to = kindOf(status, kinds);
  return {
    ...commented,
    status,
    retake_count: before.retake_count + (to === 'retake' ? 1 : 0),
    reopened: before.reopened || (from === 'done' && to !== 'done'),
    real_start_date: before.real_start_date ?? (to === 'wip' ? date : null),
    real_end_date: endDate(before, to, date),
    done_date: to === 'done' ? date : null,
  };
}

/** A task after all of its comments, in whatever order they are given. */
export function replay(initial: string, events: readonly TaskEvent[], kinds: StatusKinds): TaskState {
  return [...events].sort(compareEvents).reduce((state, event) => reduceTask(state, event, kinds), newTask(initial));
}

/** The order in which comments move a task: by date, and of one date as they were written. */
export function compareEvents(a: TaskEvent, b: TaskEvent): number {
  if (a.date !== b.date) return a.date < b.date ? -1 : 1;
  return a.number - b.number;
}

/** The work ends when somebody is asked to look at it; it has not ended when it goes on without being done. */
function endDate(before: TaskState, to: StatusKind, date: string): string | null {
  if (to === 'feedback') return date;
  return to === 'done' ? before.real_end_date : null;
}

function kindOf(status: string, kinds: StatusKinds): StatusKind {
  const kind = kinds.get(status);
  if (kind !== undefined) return kind;
  const message = `there is no task status ${JSON.stringify(status.slice(0, 100))}`;
  throw new KernelError('invalid', message, { errors: [{ path: 'status', message }] });
}
