import { gathered, type Queryable } from '#libs/database';
import type { Resource } from '#libs/journal';

/** What the database knows of a projection. */
export interface StoredProjection {
  readonly name: string;
  readonly version: number;
  /** Its checkpoint: the rows reflect every change up to it. */
  readonly tid: number;
  /** The furthest that the checkpoint ever was. */
  readonly furthest: number;
  readonly error: string | null;
  readonly failed: string | null;
  /** How far a rebuild under way has come; null when there is none. */
  readonly rebuilding: number | null;
}

const STORED = `p.name, p.version, p.tid, p.furthest, p.error, to_json(p.failed) #>> '{}' AS failed, r.tid AS rebuilding`;
const WITH_REBUILD = 'tidemark.projections p LEFT JOIN tidemark.projection_rebuilds r ON r.name = p.name';

export async function storedProjections(db: Queryable): Promise<StoredProjection[]> {
  const { rows } = await db.query<StoredProjection>(`SELECT ${STORED} FROM ${WITH_REBUILD} ORDER BY p.name`);
  return rows;
}

/** What the database knows of one; look-ups of several at once are one statement. */
export const storedProjection = gathered(async (db, names: string[]) => {
  const { rows } = await db.query<StoredProjection>(
    `SELECT ${STORED} FROM ${WITH_REBUILD} WHERE p.name = ANY ((SELECT $1)::text[])`,
    [names],
    'tidemark_projection',
  );
  return new Map(rows.map((row) => [row.name, row]));
});

/** The primary keys that tables of a projection had when it was registered, and have lost: without them nobody can keep it current. */
export async function lostKeys(db: Queryable, name: string): Promise<{ table: string; key: string[] }[]> {
  const { rows } = await db.query<{ table: string; key: string[] }>(
    `SELECT t.relation::regclass::text AS table, p.keys -> (t.place - 1)::int AS key
       FROM tidemark.projections p CROSS JOIN LATERAL unnest(p.tables) WITH ORDINALITY t(relation, place)
       WHERE p.name = $1 AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.relation AND i.indisprimary)`,
    [name],
  );
  return rows;
}

/** The checkpoint, when it is behind a tid and this transaction is the one to move it: until its end nobody else is. */
export async function claim(tx: Queryable, name: string, version: number, upto: number): Promise<number | undefined> {
  const { rows } = await tx.query<{ tid: number }>(
    `SELECT tid FROM tidemark.projections
       WHERE name = $1 AND version IN (0, $2) AND tid < $3 FOR UPDATE SKIP LOCKED`,
    [name, version, upto],
    'tidemark_projection_claim',
  );
  return rows[0]?.tid;
}

/** Waits until nobody moves the checkpoint, and keeps it so until the end of the transaction. */
export async function holdCheckpoint(tx: Queryable, name: string): Promise<number> {
  const { rows } = await tx.query<{ tid: number }>('SELECT tid FROM tidemark.projections WHERE name = $1 FOR UPDATE', [
    name,
  ]);
  return (rows[0] as { tid: number }).tid;
}

export async function moveCheckpoint(
  tx: Queryable,
  { name, version }: { name: string; version: number },
  { tid, origin }: { tid: number; origin: string },
): Promise<void> {
  await tx.query(
    `UPDATE tidemark.projections SET tid = $3, version = $2, origin = $4::uuid, error = NULL, failed = NULL, changed = now() WHERE name = $1`,
    [name, version, tid, origin],
    'tidemark_projection_move',
  );
}

/** The checkpoint of one that has still to be made, at a tid at most. */
export async function beginAnewAt(tx: Queryable, name: string, tid: number): Promise<void> {
  await tx.query('UPDATE tidemark.projections SET version = 0, tid = least(tid, $2) WHERE name = $1', [name, tid]);
}

export async function enterFailure(db: Queryable, name: string, error: string): Promise<void> {
  await db.query('UPDATE tidemark.projections SET error = $2, failed = coalesce(failed, now()) WHERE name = $1', [
    name,
    error.slice(0, 2_000),
  ]);
}

/**
 * What rows held before changes, in their key and some other fields: JSON objects as text, in no order. A walk back through the journal of
 * each row, to the last change of each field, or the row's CREATE; the key is told by the id.
 */
export async function imagesBefore(
  db: Queryable,
  { name, key }: Resource,
  changes: readonly { tid: number; id: string }[],
  fields: readonly string[],
): Promise<string[]> {
  const { rows } = await db.query<{ image: string }>(
    `SELECT (k.key || coalesce(jsonb_object_agg(f.field, p.value) FILTER (WHERE f.field IS NOT NULL), '{}'))::text AS image
       FROM unnest($2::bigint[], $3::text[]) WITH ORDINALITY b(tid, id, n)
       CROSS JOIN LATERAL (
         SELECT jsonb_object_agg(part, CASE cardinality($5::text[]) WHEN 1 THEN to_jsonb(b.id) ELSE b.id::jsonb -> (place::int - 1) END) AS key
           FROM unnest($5::text[]) WITH ORDINALITY parts(part, place)
       ) k
       LEFT JOIN unnest($4::text[]) f(field) ON true
       LEFT JOIN LATERAL (
         SELECT h.value FROM tidemark.journal j
           LEFT JOIN tidemark.history h ON h.resource = j.resource AND h.tid = j.tid AND h.id = j.id AND h.field = f.field
           WHERE f.field IS NOT NULL AND j.resource = $1 AND j.id = b.id AND j.tid < b.tid
             AND (h.tid IS NOT NULL OR j.change IN ('CREATE', 'DELETE'))
           ORDER BY j.tid DESC LIMIT 1
       ) p ON true
       GROUP BY b.n, k.key`,
    [name, changes.map(({ tid }) => tid), changes.map(({ id }) => id), fields, key],
    'tidemark_projection_images',
  );
  return rows.map(({ image }) => image);
}
