import type { Queryable } from '#libs/database';
import { defineProjection, type KeyedProjection } from '#libs/projection';
import { shownColumn, shownColumns } from './record.queries.ts';
import type { Field } from './record-kind.ts';
import { task } from './records.ts';
import type { Task } from './task.queries.ts';

export type EntityType = Task['entity_type'];

/** What a shot or an asset shows of each of its tasks. */
const DETAILS = [
  ...([
    'id',
    'task_type',
    'name',
    'status',
    'assignees',
    'priority',
    'difficulty',
    'due_date',
    'retake_count',
  ] as const),
  ...(['reopened', 'real_start_date', 'real_end_date', 'done_date', 'last_comment_date'] as const),
] as const;

export type TaskDetail = Pick<Task, (typeof DETAILS)[number]>;

/** A shot's or an asset's tasks: the status for each type, and a record of each task in the order in which they were made. */
export interface EntityTaskStatus {
  readonly task_status: Readonly<Record<string, string>>;
  readonly task_details: readonly TaskDetail[];
}

const columns = DETAILS.map((name) => {
  const column = name === 'id' ? 't.id::text' : shownColumn(`t.${name}`, task.fields[name] as Field);
  return `'${name}', ${column}`;
});

/**
 * Of each shot and asset that has tasks, `task_status` and `task_details`. Of several tasks of one type, the one that was made first gives the
 * status: another one beside it changes nothing.
 */
export const entityTaskStatusProjection = defineProjection<KeyedProjection>({
  ...{ kind: 'keyed', name: 'entity_task_status', version: 1, table: 'entity_task_status' },
  key: ['entity_type', 'entity_id'],
  sources: [
    {
      resource: task.resource,
      keyFields: ['entity_type', 'entity_id'],
      keys: 'SELECT entity_type, entity_id FROM changed',
    },
  ],
  rows: `
    SELECT t.entity_type, t.entity_id, jsonb_object_agg(t.task_type, t.status ORDER BY t.id DESC) AS task_status,
        jsonb_agg(jsonb_build_object(${columns.join(', ')}) ORDER BY t.id) AS task_details
      FROM keys k JOIN task t ON t.entity_type = k.entity_type AND t.entity_id = k.entity_id
      GROUP BY t.entity_type, t.entity_id`,
});

/** The same of some shots or assets, computed from their tasks as they are, not by the projection nor its statement. */
export async function entityTaskStatus(
  db: Queryable,
  entity: EntityType,
  ids: readonly string[],
): Promise<ReadonlyMap<string, EntityTaskStatus>> {
  const { rows } = await db.query<Task>(
    `SELECT ${shownColumns(task)} FROM task e WHERE e.entity_type = $1 AND e.entity_id = ANY ($2::bigint[]) ORDER BY e.id`,
    [entity, ids],
    'tidemark_entity_tasks',
  );
  const found = new Map(
    ids.map((id) => [id, { task_status: {} as Record<string, string>, task_details: [] as TaskDetail[] }]),
  );
  for (const row of rows) {
    const of = found.get(row.entity_id);
    if (!of) continue;
    if (!Object.hasOwn(of.task_status, row.task_type)) of.task_status[row.task_type] = row.status;
    of.task_details.push(Object.fromEntries(DETAILS.map((name) => [name, row[name]])) as unknown as TaskDetail);
  }
  return found;
}
