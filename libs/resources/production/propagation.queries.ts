import type { Queryable } from '#libs/database';
import type { EntityScope } from './consistency.queries.ts';
import type { EntityKey } from './consistency.ts';
import { shownMoment } from './record.queries.ts';

/** A change of a task's status, and what the task belonged to. */
export interface StatusChange extends EntityKey {
  readonly task_id: string;
  readonly project_id: string;
  readonly old_status: string;
  readonly new_status: string;
}

/** What came of a change of a task's status. */
export interface Propagation extends Omit<StatusChange, 'project_id'> {
  readonly consistency_valid: boolean;
  readonly timestamp: string;
}

/** What a change of a task's status was, as the journal tells it, of each id, tid and status that are selected. */
const changeOf = (selected: string) => {
  const last = (field: string, upto: string) => `(
    SELECT h.value #>> '{}' FROM task_journal j JOIN task_history h ON h.tid = j.tid AND h.id = j.id AND h.field = '${field}'
      WHERE j.id = c.id AND j.tid ${upto} c.tid ORDER BY j.tid DESC LIMIT 1)`;
  return `
    SELECT * FROM (
      SELECT c.tid, c.id AS task_id, ${last('project_id', '<=')} AS project_id, ${last('entity_type', '<=')} AS entity_type,
          ${last('entity_id', '<=')} AS entity_id, ${last('status', '<')} AS old_status, c.status AS new_status
        FROM (${selected}) c
    ) found WHERE old_status IS NOT NULL`;
};
const STATUSES = `SELECT j.id, j.tid, h.value #>> '{}' AS status
  FROM task_journal j JOIN task_history h ON h.tid = j.tid AND h.id = j.id AND h.field = 'status' AND j.change = 'MODIFY'`;

/** Those of some entries that have changed the status of a task, in no order. */
export async function findChanges(
  db: Queryable,
  entries: readonly { readonly id: string; readonly tid: number }[],
): Promise<(StatusChange & { readonly tid: number })[]> {
  const { rows } = await db.query<StatusChange & { tid: string }>(
    `${changeOf(`${STATUSES} JOIN unnest((SELECT $1)::text[], (SELECT $2)::bigint[]) k(id, tid) ON j.id = k.id AND j.tid = k.tid`)}
       AND old_status <> new_status`,
    [entries.map(({ id }) => id), entries.map(({ tid }) => tid)],
    'tidemark_status_changes',
  );
  return rows.map(({ tid, ...change }) => ({ ...change, tid: Number(tid) }));
}

/** The last change of a task's status. */
export async function findLastChange(db: Queryable, id: string): Promise<StatusChange | undefined> {
  const { rows } = await db.query<StatusChange>(
    changeOf(`${STATUSES} WHERE j.id = $1 ORDER BY j.tid DESC LIMIT 1`),
    [id],
    'tidemark_last_status_change',
  );
  return rows[0];
}

const SHOWN = `task_id::text AS task_id, entity_type, entity_id::text AS entity_id, old_status, new_status, consistency_valid,
  ${shownMoment('"timestamp"')} AS "timestamp"`;

/** Keeps records, and returns those that it has made: not of a change of which there is one already. */
export async function insertPropagations(
  db: Queryable,
  propagations: readonly (Omit<Propagation, 'timestamp'> & {
    readonly project_id: string;
    readonly tid: number | null;
  })[],
): Promise<Propagation[]> {
  const { rows } = await db.query<Propagation>(
    `INSERT INTO propagation (tid, task_id, project_id, entity_type, entity_id, old_status, new_status, consistency_valid)
       SELECT tid, task_id, project_id, entity_type, entity_id, old_status, new_status, consistency_valid
         FROM jsonb_populate_recordset(NULL::propagation, $1) ORDER BY tid, task_id
       ON CONFLICT (tid, task_id) DO NOTHING RETURNING ${SHOWN}`,
    [JSON.stringify(propagations)],
    'tidemark_propagations',
  );
  return rows;
}

export interface PropagationListOptions extends EntityScope {
  readonly task_id?: string | undefined;
  readonly before?: string | undefined;
  readonly limit: number;
}

/** Newest first. */
export async function listPropagations(
  db: Queryable,
  { project_id, task_id, readable, before, limit }: PropagationListOptions,
): Promise<(Propagation & { id: string })[]> {
  const { rows } = await db.query<Propagation & { id: string }>(
    `SELECT id::text AS id, ${SHOWN} FROM propagation p
       WHERE ($1::bigint IS NULL OR p.project_id = $1) AND ($2::bigint IS NULL OR p.task_id = $2)
         AND (p.project_id::text = ANY ($3)) = $4 AND ($5::bigint IS NULL OR p.id < $5)
       ORDER BY p.id DESC LIMIT $6`,
    [project_id ?? null, task_id ?? null, readable.projects, readable.kind === 'only', before ?? null, limit],
  );
  return rows;
}

/**
 * Deletes some that are older than some days, and returns how many. Those of changes stay until their effects are done, and until the
 * listener has passed them: where it was set back it comes to them again. Passes over those that somebody else is deleting.
 */
export async function deletePropagations(
  db: Queryable,
  { listener, days, limit }: { listener: string; days: number; limit: number },
): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM propagation WHERE id = ANY (ARRAY(
       SELECT p.id FROM propagation p
         WHERE p."timestamp" < now() - $2 * interval '1 day'
           AND (p.tid IS NULL OR p.tid <= (SELECT l.tid FROM tidemark.listener_positions l WHERE l.listener = $1))
           AND (
             SELECT e.state NOT IN ('done', 'discarded') FROM tidemark.effects e
               WHERE (e.listener, e.tid, e.resource, e.id) = ($1, p.tid, 'task', p.task_id::text)) IS NOT TRUE
         ORDER BY p."timestamp" LIMIT $3 FOR UPDATE OF p SKIP LOCKED))`,
    [listener, days, limit],
  );
  return rowCount;
}
