import { KernelError } from '#libs/database';
import {
  type Actor,
  checkRow,
  holds,
  type ModelTransaction,
  queryable,
  type Row,
  staleError,
  versionTag,
  type Writer,
} from '#libs/journal';
import { refuse } from '../refuse.ts';
import { idOf, type RecordOptions } from './record.commands.ts';
import { noRecord, shownMoment } from './record.queries.ts';
import { task, taskComment } from './records.ts';
import { replay, type TaskEvent } from './reduce-task.ts';
import { commentsOf, lockTasks, statusKinds, type Task } from './task.queries.ts';
import { changedState, readMoment, stateOf, textErrors } from './task-edit.ts';

/** A comment as its row has it. */
export interface CommentRow extends TaskEvent {
  readonly text: string;
}

/** What a change of a comment has made of its task. */
export interface CommentChanged {
  readonly tid: number | null;
  readonly task: Task;
  readonly old_status: string;
}

export interface CommentPatch {
  /** Null takes the status out of it: a remark is left. */
  readonly status?: string | null | undefined;
  readonly text?: string | undefined;
  readonly date?: string | undefined;
}

/** Deletes a comment: the task is what it would be without it. Throws `not_found`, `forbidden`, `stale` when the task is not as the condition says. */
export function deleteComment(
  writer: Writer,
  actor: Actor,
  id: string,
  number: string,
  options: RecordOptions = {},
): Promise<CommentChanged> {
  return changeHistory(writer, actor, { id, number, action: 'delete' }, options, () => undefined);
}

/** Changes a comment: the task is what it would be had it been so all along. Throws `not_found`, `invalid`, `forbidden`, `stale`. */
export function changeComment(
  writer: Writer,
  actor: Actor,
  id: string,
  number: string,
  { status, text, date }: CommentPatch,
  options: RecordOptions = {},
): Promise<CommentChanged> {
  const errors = text === undefined ? [] : textErrors(text);
  const moment = date === undefined ? undefined : readMoment(date, new Date(), errors);
  refuse(errors);
  return changeHistory(writer, actor, { id, number, action: 'modify' }, options, (before) => ({
    ...before,
    ...(status === undefined ? {} : { status }),
    ...(text === undefined ? {} : { text: text.trim() === '' ? '' : text }),
    ...(moment === undefined ? {} : { date: moment }),
  }));
}

interface Which {
  readonly id: string;
  readonly number: string;
  readonly action: 'modify' | 'delete';
}

/** Puts another comment, or none, in the place of one, and replays them all: under one tid with the task. */
async function changeHistory(
  writer: Writer,
  actor: Actor,
  { id, number, action }: Which,
  { condition, may }: RecordOptions,
  change: (before: CommentRow) => CommentRow | undefined,
): Promise<CommentChanged> {
  const key = idOf(task, id);
  const { tid, result } = await writer.transaction(actor, async (tx) => {
    const db = queryable(tx);
    const [locked] = await lockTasks(db, [key]);
    if (!locked) throw noRecord(task, id);
    const { task: before } = locked;
    const project = before.project_id;
    checkRow(may, { resource: 'task_comment', action, project, missing: () => noRecord(task, id) });
    if (condition && !holds(condition, versionTag(before))) {
      throw staleError(condition, `task ${key}`, versionTag(before));
    }
    const comment = await getComment(tx, key, number);
    const after = change(comment);
    if (after?.status === null && after.text === '') {
      refuse([{ path: 'text', message: 'a comment needs a text or a status' }]);
    }
    const others = ((await commentsOf(db, [key])).get(key) ?? []).filter((one) => one.number !== comment.number);
    const events = after ? [...others, after] : others;
    const values = changedState(stateOf(before), replay(before.initial_status, events, await statusKinds(db)));
    if (Object.keys(values).length > 0) tx.save(task.resource, key, values);
    stageComment(tx, [key, comment.number], comment, after);
    await tx.flush();
    return { task: ((await lockTasks(db, [key]))[0] as { task: Task }).task, old_status: before.status };
  });
  return { tid, ...result };
}

function stageComment(
  tx: ModelTransaction,
  key: readonly [string, number],
  before: CommentRow,
  after: CommentRow | undefined,
): void {
  if (!after) tx.delete(taskComment, key);
  else {
    const { status, text, date } = after;
    const same = status === before.status && text === before.text && date === before.date;
    if (!same) tx.save(taskComment, key, { status, text, date } as Row);
  }
}

async function getComment(tx: ModelTransaction, id: string, number: string): Promise<CommentRow> {
  const known = /^[1-9]\d{0,8}$/.test(number) ? Number(number) : 0;
  const { rows } = await queryable(tx).query<CommentRow>(
    `SELECT number, ${shownMoment('date')} AS date, status, text
       FROM task_comment WHERE task_id = $1 AND number = $2`,
    [id, known],
  );
  const [row] = rows;
  if (!row) throw new KernelError('not_found', `task ${id} has no comment ${number.slice(0, 100)}`);
  return row;
}
