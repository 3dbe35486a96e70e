import { gathered, type Queryable } from '#libs/database';
import { shownColumns, shownMoment } from './record.queries.ts';
import type { Shown } from './record-kind.ts';
import { task } from './records.ts';
import type { StatusKind, StatusKinds, TaskEvent, TaskState } from './reduce-task.ts';

/** A task as clients see it. */
export type Task = Shown &
  TaskState & {
    readonly project_id: string;
    readonly entity_type: 'shot' | 'asset';
    readonly entity_id: string;
    readonly task_type: string;
    readonly name: string;
    readonly assignees: readonly string[];
    readonly priority: number;
    readonly difficulty: number;
    readonly due_date: string | null;
    readonly initial_status: string;
    /** The number of the last comment. */
    readonly comments: number;
  };

/** A task with what its changes are judged by. */
export interface JudgedTask {
  readonly task: Task;
  /** How often it may be sent back; null: as often as one likes. */
  readonly max_retakes: number | null;
}

type SelectedTask = Task & { readonly cap: number | null };

// An entity's own cap counts only where its project has one; zero is none.
const CAP = `CASE WHEN p.max_retakes > 0 THEN nullif(coalesce(s.max_retakes, a.max_retakes, p.max_retakes), 0) END AS cap`;
const FROM = `FROM task e JOIN project p ON p.id = e.project_id
  LEFT JOIN shot s ON s.id = e.shot_id LEFT JOIN asset a ON a.id = e.asset_id`;

/** A task as it stands. What comes in one turn of the event loop is asked for together. */
export const findTask = gathered<string, JudgedTask>(async (db, ids) => {
  const { rows } = await db.query<SelectedTask>(
    `SELECT ${shownColumns(task)}, ${CAP} ${FROM} WHERE e.id = ANY ((SELECT $1)::bigint[])`,
    [ids],
    'tidemark_tasks',
  );
  return new Map(rows.map((row) => [row.id, judged(row)]));
});

/**
 * Locks tasks against other writers, in the order of their ids, and returns them in it. `comments` is not below the number of any comment
 * that was written past the task.
 */
export async function lockTasks(tx: Queryable, ids: readonly string[]): Promise<JudgedTask[]> {
  const { rows } = await tx.query<SelectedTask>(
    `SELECT ${shownColumns(task)}, ${CAP},
         greatest(e.comments, (SELECT max(c.number) FROM task_comment c WHERE c.task_id = e.id)) AS comments
       ${FROM} WHERE e.id = ANY ($1::bigint[]) ORDER BY e.id FOR NO KEY UPDATE OF e`,
    [ids],
  );
  return rows.map(judged);
}

function judged({ cap, ...row }: SelectedTask): JudgedTask {
  return { task: row as Task, max_retakes: cap };
}

/** What each status means. They never change their meaning, nor is a name given twice. */
export async function statusKinds(db: Queryable): Promise<StatusKinds> {
  const { rows } = await db.query<{ id: string; kind: StatusKind }>(
    `SELECT id, CASE WHEN is_wip THEN 'wip' WHEN is_feedback THEN 'feedback' WHEN is_retake THEN 'retake' WHEN is_done THEN 'done'
         WHEN is_not_applicable THEN 'not_applicable' ELSE 'open' END AS kind
       FROM task_status`,
    [],
    'tidemark_task_status_kinds',
  );
  return new Map(rows.map(({ id, kind }) => [id, kind]));
}

/** The comments of tasks, as far as they move them, in the order in which they do. One statement. */
export async function commentsOf(db: Queryable, tasks: readonly string[]): Promise<ReadonlyMap<string, TaskEvent[]>> {
  const { rows } = await db.query<{ task_id: string } & TaskEvent>(
    `SELECT task_id::text AS task_id, number, ${shownMoment('date')} AS date, status
       FROM task_comment WHERE task_id = ANY ($1::bigint[]) ORDER BY task_id, task_comment.date, number`,
    [tasks],
  );
  const found = new Map<string, TaskEvent[]>(tasks.map((id) => [id, []]));
  for (const { task_id, ...event } of rows) found.get(task_id)?.push(event);
  return found;
}

/** A comment as clients see it; its author and time are those of the change that wrote it. */
export interface TaskComment extends TaskEvent {
  readonly task_id: string;
  readonly text: string;
  readonly author: string;
  readonly row_version: number;
}

/** Comments of a task in the order in which they move it, after a place, at most `limit`. */
export async function listComments(
  db: Queryable,
  taskId: string,
  { after, limit }: { after?: TaskEvent | undefined; limit: number },
): Promise<TaskComment[]> {
  const { rows } = await db.query<TaskComment>(
    `SELECT c.task_id::text AS task_id, c.number, ${shownMoment('c.date')} AS date, c.status, c.text, w.author,
         c.row_version::int AS row_version
       FROM task_comment c
       CROSS JOIN LATERAL (
         SELECT author FROM task_comment_journal j WHERE j.id = format('[%s,%s]', c.task_id, c.number) ORDER BY tid LIMIT 1
       ) w
       WHERE c.task_id = $1 AND ($2::timestamptz IS NULL OR (c.date, c.number) > ($2, $3)) ORDER BY c.date, c.number LIMIT $4`,
    [taskId, after?.date ?? null, after?.number ?? 0, limit],
  );
  return rows;
}

/** The status that tasks begin with: the default one, else the first that means nothing in particular. */
export async function findDefaultStatus(db: Queryable): Promise<string | undefined> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT id FROM task_status
       ORDER BY is_default DESC, (is_wip OR is_feedback OR is_retake OR is_done OR is_not_applicable), position, id LIMIT 1`,
  );
  return rows[0]?.id;
}
