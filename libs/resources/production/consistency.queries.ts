import type { Queryable } from '#libs/database';
import type { EntityKey } from './consistency.ts';
import { type EntityTaskStatus, entityTaskStatusProjection } from './entity-task-status.projection.ts';
import { type Readable, shownMoment } from './record.queries.ts';

/** What a snapshot is of. */
export interface Moment {
  /** The tid that the projection reflects. */
  readonly projection_tid: number;
  /** The highest tid in it; what was drawn and not journaled, the projection may have passed. */
  readonly head_tid: number;
  readonly checked_at: string;
}

export async function readMoment(tx: Queryable): Promise<Moment> {
  const { rows } = await tx.query<Moment>(
    `SELECT p.tid AS projection_tid, greatest(p.tid, (SELECT tid FROM tidemark.journal ORDER BY tid DESC LIMIT 1)) AS head_tid,
         ${shownMoment('clock_timestamp()')} AS checked_at
       FROM (SELECT coalesce((SELECT tid FROM tidemark.projections WHERE name = $1), 0) AS tid) p`,
    [entityTaskStatusProjection.name],
    'tidemark_consistency_moment',
  );
  return rows[0] as Moment;
}

/** An entity that is asked for: its project when it exists, that project's rules, and whether it was found inconsistent before. */
export interface AskedEntity extends EntityKey {
  readonly project_id: string | null;
  readonly rules: unknown;
  readonly open: boolean;
}

/** In the order asked. */
export async function readEntities(tx: Queryable, entities: readonly EntityKey[]): Promise<AskedEntity[]> {
  const { rows } = await tx.query<AskedEntity>(
    `SELECT k.entity_type, k.entity_id::text AS entity_id, p.project_id::text AS project_id, r.rules, o.entity_id IS NOT NULL AS open
       FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY k(entity_type, entity_id, n)
       LEFT JOIN shot s ON k.entity_type = 'shot' AND s.id = k.entity_id
       LEFT JOIN asset a ON k.entity_type = 'asset' AND a.id = k.entity_id
       CROSS JOIN LATERAL (SELECT coalesce(s.project_id, a.project_id) AS project_id) p
       LEFT JOIN project_rules r ON r.project_id = p.project_id
       LEFT JOIN inconsistent_entity o ON o.entity_type = k.entity_type AND o.entity_id = k.entity_id
       ORDER BY k.n`,
    columnsOf(entities),
    'tidemark_consistency_entities',
  );
  return rows;
}

/** The rows that the projection's table holds of some entities: more than one of an entity when it has lost its primary key. */
export async function readStored(
  tx: Queryable,
  entities: readonly EntityKey[],
): Promise<Map<string, EntityTaskStatus[]>> {
  const { rows } = await tx.query<EntityKey & EntityTaskStatus>(
    `SELECT e.entity_type, e.entity_id::text AS entity_id, e.task_status, e.task_details
       FROM entity_task_status e JOIN unnest($1::text[], $2::bigint[]) k(entity_type, entity_id)
         ON e.entity_type = k.entity_type AND e.entity_id = k.entity_id`,
    columnsOf(entities),
    'tidemark_consistency_stored',
  );
  const found = new Map<string, EntityTaskStatus[]>();
  for (const { task_status, task_details, ...key } of rows) {
    found.set(keyOf(key), [...(found.get(keyOf(key)) ?? []), { task_status, task_details }]);
  }
  return found;
}

const lastJournaled = (field: string) => `
  SELECT h.value #>> '{}' AS ${field} FROM task_journal j JOIN task_history h ON h.tid = j.tid AND h.id = j.id AND h.field = '${field}'
    WHERE j.id = k.id ORDER BY j.tid DESC LIMIT 1`;
const LAST_CHANGE = 'SELECT change FROM task_journal j WHERE j.id = k.id ORDER BY j.tid DESC LIMIT 1';

/**
 * The statuses of tasks as the journal has them last, null where it has lost them; none for a task that it does not know, or knows as
 * deleted.
 */
export async function journaledStatuses(tx: Queryable, tasks: readonly string[]): Promise<Map<string, string | null>> {
  const { rows } = await tx.query<{ id: string; status: string | null }>(
    `SELECT k.id, s.status FROM unnest($1::text[]) k(id)
       CROSS JOIN LATERAL (${LAST_CHANGE}) l LEFT JOIN LATERAL (${lastJournaled('status')}) s ON true
       WHERE l.change <> 'DELETE'`,
    [tasks],
    'tidemark_consistency_journaled',
  );
  return new Map(rows.map(({ id, status }) => [id, status]));
}

/** A task that is shown of an entity, by what the projection calls it. */
export interface ShownTask extends EntityKey {
  readonly id: string;
}

/** Those of some tasks that the journal knows as living tasks of these entities, and their statuses. */
export async function journaledOf(
  tx: Queryable,
  shown: readonly ShownTask[],
): Promise<(ShownTask & { readonly status: string | null })[]> {
  const { rows } = await tx.query<ShownTask & { status: string | null }>(
    `SELECT k.id, k.entity_type, k.entity_id, s.status FROM unnest($1::text[], $2::text[], $3::text[]) k(id, entity_type, entity_id)
       CROSS JOIN LATERAL (${LAST_CHANGE}) l
       CROSS JOIN LATERAL (${lastJournaled('entity_type')}) t CROSS JOIN LATERAL (${lastJournaled('entity_id')}) e
       LEFT JOIN LATERAL (${lastJournaled('status')}) s ON true
       WHERE l.change <> 'DELETE' AND (t.entity_type, e.entity_id) = (k.entity_type, k.entity_id)`,
    [shown.map(({ id }) => id), shown.map(({ entity_type }) => entity_type), shown.map(({ entity_id }) => entity_id)],
    'tidemark_consistency_shown',
  );
  return rows;
}

/** The entities whose tasks were changed after a tid, also those to which such a task belonged before. */
export async function waitingEntities(tx: Queryable, tid: number): Promise<Set<string>> {
  const { rows } = await tx.query<EntityKey>(
    `WITH changed AS (SELECT DISTINCT id FROM task_journal WHERE tid > $1),
       said AS (
         SELECT c.id, h.field, h.value #>> '{}' AS value
           FROM changed c JOIN task_journal j ON j.id = c.id
           JOIN task_history h ON h.tid = j.tid AND h.id = j.id AND h.field IN ('entity_type', 'entity_id')
       )
     SELECT DISTINCT t.value AS entity_type, e.value AS entity_id
       FROM said t JOIN said e ON e.id = t.id AND e.field = 'entity_id' WHERE t.field = 'entity_type'`,
    [tid],
  );
  return new Set(rows.map(keyOf));
}

/** Which entities are meant by a report or a repair: those of a project, or of all that somebody may see. */
export interface EntityScope {
  readonly project_id?: string | undefined;
  readonly readable: Readable;
}

const LAST = '9223372036854775807';

/** Entities after one, in order, those of which only the projection knows among them, where no project is left out. */
export async function listEntityKeys(
  db: Queryable,
  { project_id, readable }: EntityScope,
  after: EntityKey | undefined,
  limit: number,
): Promise<EntityKey[]> {
  const { rows } = await db.query<EntityKey>(
    `SELECT entity_type, entity_id::text AS entity_id FROM (
         (SELECT 'asset' COLLATE "C" AS entity_type, id AS entity_id FROM asset
            WHERE id > CASE WHEN $1 < 'asset' THEN 0 WHEN $1 = 'asset' THEN $2::bigint ELSE ${LAST} END
              AND ($3::bigint IS NULL OR project_id = $3) AND (project_id::text = ANY ($5)) = $4 ORDER BY id LIMIT $6)
         UNION ALL
         (SELECT 'shot', id FROM shot
            WHERE id > CASE WHEN $1 = 'shot' THEN $2::bigint ELSE 0 END
              AND ($3::bigint IS NULL OR project_id = $3) AND (project_id::text = ANY ($5)) = $4 ORDER BY id LIMIT $6)
         UNION ALL
         (SELECT DISTINCT entity_type, entity_id FROM entity_task_status e
            WHERE (entity_type, entity_id) > ($1, $2::bigint) AND $3::bigint IS NULL AND NOT $4::boolean
              AND NOT EXISTS (SELECT FROM shot s WHERE e.entity_type = 'shot' AND s.id = e.entity_id)
              AND NOT EXISTS (SELECT FROM asset a WHERE e.entity_type = 'asset' AND a.id = e.entity_id)
            ORDER BY entity_type, entity_id LIMIT $6)
       ) keys ORDER BY entity_type COLLATE "C", keys.entity_id LIMIT $6`,
    [
      ...[after?.entity_type ?? '', after?.entity_id ?? '0', project_id ?? null],
      ...[readable.kind === 'only', readable.projects, limit],
    ],
  );
  return rows;
}

/** What a validation has found of an entity that was, or is now, inconsistent. */
export interface Finding extends EntityKey {
  readonly project_id: string | null;
  readonly inconsistencies: number;
  readonly checked_at: string;
}

/** Enters what validations have found. A later one has the last word, whichever is entered first. */
export async function enterFindings(db: Queryable, findings: readonly Finding[]): Promise<void> {
  const given = `jsonb_to_recordset($1::jsonb)
    AS f(entity_type text, entity_id bigint, project_id bigint, inconsistencies integer, checked_at timestamptz(3))`;
  await db.query(
    `WITH found AS MATERIALIZED (SELECT * FROM ${given}),
       over AS MATERIALIZED (
         SELECT o.entity_type, o.entity_id FROM inconsistent_entity o JOIN found f USING (entity_type, entity_id)
           WHERE f.inconsistencies = 0 AND o.last_seen <= f.checked_at
           ORDER BY o.entity_type, o.entity_id FOR UPDATE OF o
       ), closed AS (DELETE FROM inconsistent_entity o USING over WHERE (o.entity_type, o.entity_id) = (over.entity_type, over.entity_id))
     INSERT INTO inconsistent_entity AS o (entity_type, entity_id, project_id, inconsistencies, first_seen, last_seen)
       SELECT entity_type, entity_id, project_id, inconsistencies, checked_at, checked_at FROM found WHERE inconsistencies > 0
         ORDER BY entity_type COLLATE "C", entity_id
       ON CONFLICT (entity_type, entity_id) DO UPDATE
         SET project_id = excluded.project_id, inconsistencies = excluded.inconsistencies, last_seen = excluded.last_seen
         WHERE o.last_seen <= excluded.last_seen`,
    [JSON.stringify(findings)],
  );
}

export function keyOf({ entity_type, entity_id }: EntityKey): string {
  return `${entity_type} ${entity_id}`;
}

function columnsOf(entities: readonly EntityKey[]): [string[], string[]] {
  return [entities.map(({ entity_type }) => entity_type), entities.map(({ entity_id }) => entity_id)];
}
