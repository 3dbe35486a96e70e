import { type ConnectionSource, type Queryable, runInTransaction, SNAPSHOT } from '#libs/database';
import { after } from '#libs/dispatch';
import { type Position, parseExact, readPage } from '#libs/journal';
import { changedRows, prepare } from './advance.ts';
import { type Difference, differencesOf } from './difference.ts';
import { type KeyedStatements, runSized } from './keyed-statements.ts';
import { storedProjection } from './projection.queries.ts';
import { concerns, type KeyedProjection } from './projection.ts';
import { shapeOf } from './shape.ts';

const KEYS = 1_000;

export interface Compared {
  readonly differences: Difference[];
  /** How many keys were looked at. */
  readonly keys: number;
  /** Where to go on, `after` of the next call; null at the end. */
  readonly last: readonly string[] | null;
  /** The projection's checkpoint in that snapshot. */
  readonly tid: number;
  /** Of the definition that has made the rows, in that snapshot: of another one than this, nothing can be said. */
  readonly version: number;
}

export interface CompareOptions {
  /** These keys only, each in key order; else all, a page at a time. */
  readonly keys?: readonly (readonly (string | number)[])[];
  /** After this key. */
  readonly after?: readonly string[];
  /** Keys in a page; default 1,000. */
  readonly limit?: number;
}

/**
 * Compares the rows of a keyed projection with what its source rows say, in one snapshot, by one statement. A difference is `stale` when a
 * change of its key waits to be applied.
 */
export async function compare(
  database: ConnectionSource,
  projection: KeyedProjection,
  options: CompareOptions = {},
): Promise<Compared> {
  const { quoted } = await shapeOf(database, projection.table);
  return runInTransaction(
    database,
    async (tx) => {
      // Before there is a snapshot: the swap of a rebuild in between would show it the new table, without the rows made after it.
      await tx.query(`LOCK TABLE ${quoted} IN ACCESS SHARE MODE`);
      return compareWithin(tx, projection, options);
    },
    SNAPSHOT,
  );
}

/** The same in a snapshot of the caller's, who keeps the table from being swapped since before the snapshot. */
export async function compareWithin(
  tx: Queryable,
  projection: KeyedProjection,
  { keys, after, limit = KEYS }: CompareOptions = {},
): Promise<Compared> {
  const { statements } = await prepare(tx, projection);
  const { compareAll, compareSome } = statements as KeyedStatements;
  const { rows } = await tx.query<{ keys: number; last: string[] | null; differences: string }>(
    keys ? compareSome : compareAll,
    keys ? [keys.map((key) => JSON.stringify(key))] : [after ?? null, limit],
  );
  const found = rows[0] as { keys: number; last: string[] | null; differences: string };
  const differing = parseExact(found.differences) as Differing[];
  const { tid, version } = (await storedProjection(tx, projection.name)) ?? { tid: 0, version: 0 };
  const waiting =
    differing.length === 0 ? new Set() : await waitingKeys(tx, projection, statements as KeyedStatements, tid);
  const differences = differing.flatMap(({ id, key, ...values }) => {
    const stale = waiting.has(JSON.stringify(key));
    return differencesOf({ projection: projection.name, table: projection.table, id, stale }, values);
  });
  return { differences, keys: found.keys, last: keys || found.keys < limit ? null : found.last, tid, version };
}

interface Differing {
  readonly id: unknown[];
  readonly key: unknown[];
  readonly expected: Record<string, unknown> | null;
  readonly actual: Record<string, unknown> | null;
  readonly copy: number;
}

/** The keys of changes after a tid, as JSON arrays: what is computed from rows may reflect these already, or not. */
export async function waitingKeys(
  tx: Queryable,
  projection: KeyedProjection,
  { changedKeys }: KeyedStatements,
  tid: number,
): Promise<Set<string>> {
  const waiting = new Set<string>();
  let at: Position = { tid };
  for (let cut = true; cut; ) {
    const page = await readPage(tx, { after: at, limit: 2_000, bytes: 8 * 1024 * 1024 });
    const entries = page.entries.filter((entry) => concerns(projection, entry));
    if (entries.length > 0) {
      const { rows } = await runSized<{ key: string }>(
        tx,
        changedKeys,
        entries.length,
        await changedRows(tx, projection, entries),
      );
      for (const { key } of rows) waiting.add(JSON.stringify(parseExact(key)));
    }
    const last = page.entries.at(-1);
    cut = page.cut && last !== undefined;
    if (last) at = after(last);
  }
  return waiting;
}
