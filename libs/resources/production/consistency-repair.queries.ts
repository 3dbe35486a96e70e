import type { Queryable } from '#libs/database';
import type { EntityKey } from './consistency.ts';
import { entityTaskStatusProjection } from './entity-task-status.projection.ts';

/** Computes rows of the projection anew. It takes away copies, too: the table may have lost its primary key. */
export async function recomputeEntities(tx: Queryable, entities: readonly EntityKey[]): Promise<void> {
  const keys = [entities.map(({ entity_type }) => entity_type), entities.map(({ entity_id }) => entity_id)];
  const given = `SELECT DISTINCT entity_type, entity_id FROM unnest($1::text[], $2::bigint[]) k(entity_type, entity_id)`;
  await tx.query(
    `DELETE FROM entity_task_status e USING (${given}) k WHERE e.entity_type = k.entity_type AND e.entity_id = k.entity_id`,
    keys,
  );
  await tx.query(
    `WITH keys AS MATERIALIZED (${given})
     INSERT INTO entity_task_status (entity_type, entity_id, task_status, task_details)
       SELECT entity_type, entity_id, task_status, task_details FROM (${entityTaskStatusProjection.rows}) w`,
    keys,
  );
}
