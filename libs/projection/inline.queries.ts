import type { Queryable } from '#libs/database';
import type { ChangedFields, KeyedProjection } from './projection.ts';
import { quoteTable } from './shape.ts';

/** Lets what waits for the commit happen now: deferred triggers may change rows, and deferred foreign keys lock some. */
export async function endDeferring(tx: Queryable): Promise<void> {
  await tx.query('SET CONSTRAINTS ALL IMMEDIATE');
}

/**
 * The whole number of the transaction that has written a row of the journal: xmin is the end of it, as near to this transaction's own as can
 * be. Not by age(): where that was asked for before there was an own number, it counts from another one until the end of the transaction.
 */
const OWN = 'pg_current_xact_id()::text::bigint';
const WRITER = `(${OWN} - ((((${OWN} - j.xmin::text::bigint) & 4294967295) # 2147483648) - 2147483648))::text::xid8`;

/**
 * What this transaction has changed of some resources, in any of its tids, in journal order: each field that a change has set, as true.
 * A row of the journal whose writer is in progress, and that is visible, is this transaction's. FULL JOIN, because it cannot be planned as
 * a nested loop: the plan is cached from small changes. Every row of h has its e.
 */
export async function ownChanges(tx: Queryable, resources: readonly string[]): Promise<ChangedFields[]> {
  const { rows } = await tx.query<ChangedFields>(
    `WITH e AS MATERIALIZED (
       SELECT j.resource, j.tid, j.id, j.change FROM tidemark.journal j
         WHERE j.resource = ANY ($1) AND j.tid > current_setting('tidemark.floor')::bigint
           AND pg_xact_status(${WRITER}) = 'in progress'
     ), h AS MATERIALIZED (
       SELECT resource, tid, id, json_object_agg(field, true) AS fields FROM tidemark.history
         WHERE resource = ANY ($1) AND tid = ANY (ARRAY(SELECT DISTINCT e.tid FROM e))
         GROUP BY resource, tid, id
     )
     SELECT e.resource, e.tid, e.id, e.change, coalesce(h.fields, '{}') AS values
       FROM e FULL JOIN h ON h.resource = e.resource AND h.tid = e.tid AND h.id = e.id
       ORDER BY e.tid, e.resource, e.id`,
    [resources],
    'tidemark_own_changes',
  );
  return rows;
}

/** Keeps the tables from being exchanged until the end of the transaction. */
export async function holdTables(tx: Queryable, projections: readonly KeyedProjection[]): Promise<void> {
  await tx.query(`LOCK TABLE ${projections.map(({ table }) => quoteTable(table)).join(', ')} IN ROW EXCLUSIVE MODE`);
}

/** The names of those whose stored rows are of the version that is given. */
export async function atVersion(tx: Queryable, projections: readonly KeyedProjection[]): Promise<Set<string>> {
  const { rows } = await tx.query<{ name: string }>(
    `SELECT p.name FROM tidemark.projections p JOIN unnest($1::text[], $2::int[]) known(name, version) USING (name, version)`,
    [projections.map(({ name }) => name), projections.map(({ version }) => version)],
    'tidemark_inline_versions',
  );
  return new Set(rows.map(({ name }) => name));
}

/** Gives a projection that has still to be made its version. */
export async function claimVersion(db: Queryable, { name, version }: KeyedProjection): Promise<void> {
  await db.query('UPDATE tidemark.projections SET version = $2 WHERE name = $1 AND version = 0', [name, version]);
}
