import type { Queryable } from '#libs/database';
import type { EntityTaskStatus, EntityType } from './entity-task-status.projection.ts';
import { conditions, type RecordListOptions, shownColumns } from './record.queries.ts';
import type { Shown } from './record-kind.ts';
import { asset, shot } from './records.ts';
import { type Progress, rollUp } from './roll-up.ts';
import { statusKinds } from './task.queries.ts';

/** A shot or an asset with its tasks, as the projection has them, and what they roll up to. */
export type ListedEntity = Shown & EntityTaskStatus & { readonly progress: Progress };

/** Shots or assets by id, at most `limit`, each with its tasks. Two statements, whatever their number. */
export async function listEntities(
  db: Queryable,
  entity: EntityType,
  options: RecordListOptions,
): Promise<ListedEntity[]> {
  const kind = entity === 'shot' ? shot : asset;
  const { where, values } = conditions(kind, options);
  const statement = db.query<Shown & EntityTaskStatus & { not_applicable: boolean }>(
    `SELECT ${shownColumns(kind)}, coalesce(s.task_status, '{}') AS task_status, coalesce(s.task_details, '[]') AS task_details
       FROM ${kind.name} e LEFT JOIN entity_task_status s ON s.entity_type = '${entity}' AND s.entity_id = e.id
       WHERE ${where} ORDER BY e.id LIMIT $1`,
    values,
  );
  const [{ rows }, kinds] = [await statement, await statusKinds(db)];
  return rows.map((row) => ({ ...row, progress: rollUp(row, row.task_details, kinds) }));
}
