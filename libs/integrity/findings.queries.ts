import type { Queryable } from '#libs/database';
import { utc } from '#libs/journal';
import type { FindingRow, FindingState } from './finding.ts';

/** A finding as it is entered: JSON, with its values as JSON. */
export type NewFinding = Pick<
  FindingRow,
  'key' | 'check_name' | 'resource' | 'row_id' | 'field' | 'kind' | 'expected' | 'actual' | 'since_tid' | 'place'
>;

const NEW = `jsonb_to_recordset($1::jsonb) n(key text, check_name text, resource text, row_id text, field text, kind text,
  expected jsonb, actual jsonb, since_tid bigint, place text)`;

/** Until the end of the transaction nobody else enters findings: two who find the same would wait for each other. */
export async function lockFindings(tx: Queryable): Promise<void> {
  await tx.query(`SELECT pg_advisory_xact_lock(hashtext('tidemark findings'), 0)`);
}

export async function insertFindings(tx: Queryable, found: string): Promise<void> {
  await tx.query(
    `INSERT INTO tidemark.finding (key, check_name, resource, row_id, field, kind, expected, actual, since_tid, place)
       SELECT n.* FROM ${NEW} WHERE NOT EXISTS (SELECT FROM tidemark.finding f WHERE f.key = n.key)`,
    [found],
  );
}

/** Opens again what was resolved, and notes other values. What was accepted stays so. */
export async function reopenFindings(tx: Queryable, found: string): Promise<void> {
  await tx.query(
    `UPDATE tidemark.finding f
       SET state = 'open', resolved = NULL, resolved_by = NULL, reason = NULL, expected = n.expected, actual = n.actual
       FROM ${NEW} WHERE f.key = n.key
         AND (f.state = 'resolved' OR f.state = 'open' AND (f.expected, f.actual) IS DISTINCT FROM (n.expected, n.actual))`,
    [found],
  );
}

/** Notes that findings were seen now, and tells their numbers and states. */
export async function seeFindings(
  tx: Queryable,
  keys: readonly string[],
): Promise<{ id: number; key: string; state: FindingState }[]> {
  const { rows } = await tx.query<{ id: number; key: string; state: FindingState }>(
    `WITH seen AS (
       INSERT INTO tidemark.finding_seen (id, last_seen) SELECT id, now() FROM tidemark.finding WHERE key = ANY ($1)
         ON CONFLICT (id) DO UPDATE SET last_seen = excluded.last_seen
     )
     SELECT id, key, state FROM tidemark.finding WHERE key = ANY ($1)`,
    [keys],
  );
  return rows;
}

/** Ends findings that are open, by somebody for a reason, or by a check that has not found them again. */
export async function endFindings(
  tx: Queryable,
  ids: readonly number[],
  { state, by, reason }: { state: 'resolved' | 'accepted'; by: string | null; reason: string | null },
): Promise<void> {
  await tx.query(
    `UPDATE tidemark.finding SET state = $2, resolved = now(), resolved_by = $3, reason = $4 WHERE id = ANY ($1) AND state = 'open'`,
    [ids, state, by, reason],
  );
}

/** Open findings of a check, those first that were not looked at for longest. */
export async function selectOpen(
  db: Queryable,
  { name, resource }: { name: string; resource: string },
  limit: number,
): Promise<{ id: number; key: string; place: string }[]> {
  const { rows } = await db.query<{ id: number; key: string; place: string }>(
    `SELECT f.id, f.key, f.place FROM tidemark.finding f LEFT JOIN tidemark.finding_seen s ON s.id = f.id
       WHERE f.check_name = $1 AND f.resource = $2 AND f.state = 'open' ORDER BY s.last_seen NULLS FIRST, f.id LIMIT $3`,
    [name, resource, limit],
  );
  return rows;
}

export interface FindingFilter {
  readonly state?: FindingState | undefined;
  readonly resource?: string | undefined;
  readonly kind?: string | undefined;
  readonly check?: string | undefined;
}

/** A finding as people see it. */
export interface FindingView extends Omit<FindingRow, 'key' | 'place'> {
  readonly last_seen: string;
}

const VIEW = `SELECT f.id, f.check_name, f.resource, f.row_id, f.field, f.kind, f.expected, f.actual, f.since_tid, f.state,
    ${utc('f.first_seen')} AS first_seen, ${utc('coalesce(s.last_seen, f.first_seen)')} AS last_seen,
    ${utc('f.resolved')} AS resolved, f.resolved_by, f.reason
  FROM tidemark.finding f LEFT JOIN tidemark.finding_seen s ON s.id = f.id`;

/** Findings, the latest first, before one of them. */
export async function listFindings(
  db: Queryable,
  { state, resource, kind, check, before, limit }: FindingFilter & { before?: number | undefined; limit: number },
): Promise<FindingView[]> {
  const { rows } = await db.query<FindingView>(
    `${VIEW} WHERE ($1::text IS NULL OR f.state = $1) AND ($2::text IS NULL OR f.resource = $2) AND ($3::text IS NULL OR f.kind = $3)
         AND ($4::text IS NULL OR f.check_name = $4) AND ($5::bigint IS NULL OR f.id < $5)
       ORDER BY f.id DESC LIMIT $6`,
    [state ?? null, resource ?? null, kind ?? null, check ?? null, before ?? null, limit],
  );
  return rows;
}

/** The finding of a number; undefined when there is none. */
export async function selectFinding(db: Queryable, id: number): Promise<FindingView | undefined> {
  const { rows } = await db.query<FindingView>(`${VIEW} WHERE f.id = $1`, [id]);
  return rows[0];
}

/** Where the check of a finding finds it. */
export async function selectPlace(
  db: Queryable,
  id: number,
): Promise<Pick<FindingRow, 'check_name' | 'resource' | 'place' | 'state'> | undefined> {
  const { rows } = await db.query<Pick<FindingRow, 'check_name' | 'resource' | 'place' | 'state'>>(
    'SELECT check_name, resource, place, state FROM tidemark.finding WHERE id = $1',
    [id],
  );
  return rows[0];
}

/** How many findings are open, by check and kind. */
export async function countFindings(db: Queryable): Promise<{ check: string; kind: string; findings: number }[]> {
  const { rows } = await db.query<{ check: string; kind: string; findings: number }>(
    `SELECT check_name AS check, kind, count(*)::int AS findings FROM tidemark.finding WHERE state = 'open' GROUP BY 1, 2 ORDER BY 1, 2`,
  );
  return rows;
}
