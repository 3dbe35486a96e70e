import type { Queryable } from '#libs/database';
import { parseExact } from '#libs/journal';
import type { Found } from './check.ts';

/** Every journaled resource, and whether its table is there. */
export async function selectResources(db: Queryable): Promise<{ name: string; exists: boolean }[]> {
  const { rows } = await db.query<{ name: string; exists: boolean }>(
    `SELECT r.resource AS name, EXISTS (SELECT FROM pg_class c WHERE c.oid = r.relation) AS exists
       FROM tidemark.resources r ORDER BY r.resource`,
  );
  return rows;
}

/** The next rows of a resource's table after a key, by their ids, and the key of the last one. */
export async function modelPage(
  snapshot: Queryable,
  resource: string,
  { after, limit }: { after: readonly string[] | null; limit: number },
): Promise<{ ids: string[]; last: string[] | null }> {
  const { rows } = await snapshot.query<{ ids: string[]; last: string[] | null }>(
    'SELECT ids, last FROM tidemark.model_page($1, $2, $3)',
    [resource, after, limit],
  );
  return rows[0] as { ids: string[]; last: string[] | null };
}

/** The next ids of a resource's journal, and which of their rows there should be and are not. */
export async function absentPage(
  snapshot: Queryable,
  resource: string,
  { after, limit }: { after: string; limit: number },
): Promise<{ absent: string[]; rows: number; last: string | null }> {
  const { rows } = await snapshot.query<{ absent: string[]; rows: number; last: string | null }>(
    `WITH page AS MATERIALIZED (
       SELECT j.id, max(j.tid) FILTER (WHERE j.change = 'CREATE') > coalesce(max(j.tid) FILTER (WHERE j.change = 'DELETE'), -1) AS lives
         FROM tidemark.journal j WHERE j.resource = $1 AND j.id > $2 GROUP BY j.id ORDER BY j.id LIMIT $3
     )
     SELECT tidemark.absent_ids($1, (SELECT coalesce(array_agg(p.id), '{}') FROM page p WHERE p.lives)) AS absent,
       (SELECT count(*)::int FROM page) AS rows, (SELECT max(p.id) FROM page p) AS last`,
    [resource, after, limit],
  );
  return rows[0] as { absent: string[]; rows: number; last: string | null };
}

/** Where rows of some ids and the fold of their journal differ. */
export async function driftOf(snapshot: Queryable, resource: string, ids: readonly string[]): Promise<Found[]> {
  if (ids.length === 0) return [];
  const { rows } = await snapshot.query<DriftRow>(
    `SELECT d.id, d.kind, d.field, d.journaled::text AS journaled, d.present::text AS present, d.since
       FROM tidemark.drift_of($1, $2) d`,
    [resource, ids],
  );
  return rows.map(({ id, kind, field, journaled, present, since }) => ({
    ...{ id, kind, field, since },
    expected: journaled === null ? null : parseExact(journaled),
    actual: present === null ? null : parseExact(present),
  }));
}

interface DriftRow {
  readonly id: string;
  readonly kind: string;
  readonly field: string | null;
  readonly journaled: string | null;
  readonly present: string | null;
  readonly since: number | null;
}

/** Journals rows as they are. Within the actor's transaction. */
export async function acceptRows(tx: Queryable, resource: string, ids: readonly string[]): Promise<void> {
  await tx.query('SELECT tidemark.accept_rows($1, $2)', [resource, ids]);
}

/** Writes what the journal says into rows. Within the actor's transaction. */
export async function restoreRows(tx: Queryable, resource: string, ids: readonly string[]): Promise<void> {
  await tx.query('SELECT tidemark.restore_rows($1, $2)', [resource, ids]);
}
