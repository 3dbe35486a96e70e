import type { Queryable } from '#libs/database';
import { defineProjection, type KeyedProjection } from '#libs/projection';
import { shot, task } from './records.ts';

// A task that is gone, or has become another one, was in the sequences that its shot has ever been in: only the journal knows them.
const FORMER = `
  SELECT c.project_id, was.sequence_id, c.task_type
    FROM changed c CROSS JOIN LATERAL (
      SELECT coalesce((h.value #>> '{}')::bigint, 0)
        FROM shot_journal j LEFT JOIN shot_history h ON h.tid = j.tid AND h.id = j.id AND h.field = 'sequence_id'
        WHERE j.id = c.entity_id::text AND (h.tid IS NOT NULL OR j.change = 'CREATE')
    ) was(sequence_id)
    WHERE c.entity_type = 'shot' AND NOT EXISTS (
      SELECT FROM task t WHERE (t.id, t.project_id, t.entity_type, t.entity_id, t.task_type)
        = (c.id, c.project_id, c.entity_type, c.entity_id, c.task_type))`;

/**
 * Which tasks are counted under a key, of some shots or assets. Told as a list, these are looked up in one scan of the index, which takes half
 * as long as one for each; and nothing can be planned as a reading of all shots, or of all tasks of a shot.
 */
const tasksOf = (table: 'shot' | 'asset', where: string) => `
  SELECT k.project_id, k.sequence_id, k.task_type, t.status
    FROM keys k CROSS JOIN LATERAL (
      SELECT status FROM task WHERE task_type = k.task_type AND ${table}_id = ANY (ARRAY(
        SELECT e.id FROM ${table} e WHERE e.project_id = k.project_id AND ${where})) OFFSET 0) t`;

/**
 * How many tasks of a type are at a status, in each sequence of a project; the sequence 0 stands for shots in none, and for assets. A change
 * of a task recounts its type in its sequence. What is counted over all of them is added up when it is read: a change of one task would
 * recount them all.
 */
export const projectProgressProjection = defineProjection<KeyedProjection>({
  ...{ kind: 'keyed', name: 'project_progress', version: 1, table: 'project_progress' },
  key: ['project_id', 'sequence_id', 'task_type'],
  sources: [
    {
      resource: task.resource,
      fields: ['project_id', 'entity_type', 'entity_id', 'task_type', 'status'],
      keyFields: ['project_id', 'entity_type', 'entity_id', 'task_type'],
      keys: `
        SELECT c.project_id, coalesce(s.sequence_id, 0), c.task_type
          FROM changed c LEFT JOIN shot s ON c.entity_type = 'shot' AND s.id = c.entity_id
        UNION ALL ${FORMER}`,
    },
    {
      resource: shot.resource,
      fields: ['project_id', 'sequence_id'],
      keyFields: ['project_id', 'sequence_id'],
      keys: `SELECT c.project_id, coalesce(c.sequence_id, 0), t.task_type
        FROM changed c JOIN task t ON t.entity_type = 'shot' AND t.entity_id = c.id`,
    },
  ],
  rows: `
    SELECT project_id, sequence_id, task_type, status, count(*)::int AS count FROM (
        ${tasksOf('shot', 'e.sequence_id = k.sequence_id')}
        UNION ALL ${tasksOf('shot', 'k.sequence_id = 0 AND e.sequence_id IS NULL')}
        UNION ALL ${tasksOf('asset', 'k.sequence_id = 0')}
      ) counted GROUP BY project_id, sequence_id, task_type, status`,
});

/** A count of tasks. `all` stands for every value of an axis; a sequence that is null, for tasks of what is in none. */
export interface ProgressRow {
  readonly sequence_id: string | null;
  readonly task_type: string;
  readonly status: string;
  readonly count: number;
}

/** A project's counts, with a row for all of each axis, and of each two, and of everything, which is there when there are no tasks. */
export async function readProgress(db: Queryable, projectId: string): Promise<ProgressRow[]> {
  const { rows } = await db.query<ProgressRow>(
    `SELECT CASE WHEN grouping(sequence_id) = 1 THEN 'all' WHEN sequence_id > 0 THEN sequence_id::text END AS sequence_id,
         CASE WHEN grouping(task_type) = 1 THEN 'all' ELSE task_type END AS task_type,
         CASE WHEN grouping(status) = 1 THEN 'all' ELSE status END AS status,
         coalesce(sum(count), 0)::int AS count
       FROM project_progress p WHERE project_id = $1 GROUP BY CUBE (p.sequence_id, p.task_type, p.status)
       ORDER BY grouping(p.sequence_id) DESC, p.sequence_id, grouping(p.task_type) DESC, p.task_type,
         grouping(p.status) DESC, p.status`,
    [projectId],
    'tidemark_project_progress',
  );
  return rows;
}
