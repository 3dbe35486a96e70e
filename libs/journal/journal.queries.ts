import { KernelError, type Queryable } from '#libs/database';
import { type Change, ENTRY_COLUMNS, type EntryRow, type JournalEntry, type Position, toEntry } from './entry.ts';
import { withOldValues } from './old-values.queries.ts';

export interface ReadOptions {
  readonly after: Position;
  /** The highest tid wanted. A reader that must not skip gives a safe tid, asked for in an earlier statement. */
  readonly upto?: number;
  readonly limit: number;
  readonly resource?: string;
  /** Stops after the entry whose values reach this many bytes in all; one entry always comes. */
  readonly bytes?: number;
}

/** Entries of one statement. `cut`: the limit or the bytes were reached, so there may be more, also of the last tid. */
export interface JournalPage {
  readonly entries: JournalEntry[];
  readonly bytes: number;
  readonly cut: boolean;
}

/**
 * Journal entries after a position, by (tid, resource, id), at most `limit`: the last tid may be cut, and is resumed by the position of
 * the last entry. Prepared: planning over many partitions would take longer than reading.
 */
export async function readPage(db: Queryable, options: ReadOptions): Promise<JournalPage> {
  const { after, limit } = options;
  const inside = after.resource !== undefined;
  const { text, name } = (inside ? READ_REST : READ)[options.resource === undefined ? 'all' : 'one'];
  const { rows } = await db.query<EntryRow & { found: string; bytes: string }>(
    text,
    [
      ...(inside ? [after.tid, after.resource, after.id] : [after.tid + 1]),
      options.upto ?? Number.MAX_SAFE_INTEGER,
      limit,
      options.bytes ?? Number.MAX_SAFE_INTEGER,
      ...(options.resource === undefined ? [] : [options.resource]),
    ],
    name,
  );
  const found = Number(rows[0]?.found ?? 0);
  return {
    entries: rows.map(({ found: _found, bytes: _bytes, ...row }) => toEntry(row)),
    bytes: Number(rows.at(-1)?.bytes ?? 0),
    cut: rows.length < found || found >= limit,
  };
}

/** The entries of a page, for callers to whom it does not matter whether there are more. */
export async function readEntries(db: Queryable, options: ReadOptions): Promise<JournalEntry[]> {
  return (await readPage(db, options)).entries;
}

const VALUES = `(
         SELECT json_object_agg(h.field, h.value)::text FROM tidemark.history h
           WHERE h.resource = e.resource AND h.tid = e.tid AND h.id = e.id
       )`;
const ENTRY_WITH_VALUES = `${ENTRY_COLUMNS}, ${VALUES} AS values`;

/** A statement in two forms: for all resources, and for one, which is the last parameter. */
const forms = (name: string, text: (where: string) => string, place: number) => ({
  all: { name, text: text('') },
  one: { name: `${name}_one`, text: text(`AND resource = $${place}`) },
});

// FULL JOIN, because it cannot be planned as a nested loop: the plan is cached from reads of a few entries, and would then take
// a second for 2,000. Every row of h has its e; to ask for that beside the join would make a LEFT JOIN of it.
const READ = forms(
  'tidemark_read',
  (where) => `
  WITH e AS MATERIALIZED (
    SELECT * FROM tidemark.journal WHERE tid >= $1 AND tid <= $2 ${where} ORDER BY tid, resource, id LIMIT $3
  ), l AS MATERIALIZED (
    SELECT tid, resource, id FROM e ORDER BY tid DESC, resource DESC, id DESC LIMIT 1
  ), h AS MATERIALIZED (
    SELECT resource, tid, id, json_object_agg(field, value)::text AS values
      FROM tidemark.history
      WHERE tid >= $1 AND tid <= (SELECT l.tid FROM l) ${where}
        AND (tid < (SELECT l.tid FROM l) OR (resource, id) <= (SELECT l.resource, l.id FROM l))
      GROUP BY resource, tid, id
  ), valued AS (
    SELECT e.*, h.values FROM e FULL JOIN h ON h.resource = e.resource AND h.tid = e.tid AND h.id = e.id
  ) ${cutAt('$4')}`,
  5,
);

// After a row inside a tid: what comes after it there is a range of one index, so a tid of many rows is not read anew for each page.
const READ_REST = forms(
  'tidemark_read_rest',
  (where) => `
  WITH rest AS MATERIALIZED (
    SELECT * FROM tidemark.journal WHERE resource = $2 AND tid = $1 AND id > $3 AND tid <= $4 ${where} ORDER BY id LIMIT $5
  ), more AS MATERIALIZED (
    SELECT * FROM tidemark.journal WHERE tid >= $1 AND tid <= $4 AND (tid > $1 OR resource > $2) ${where}
      ORDER BY tid, resource, id LIMIT $5 - (SELECT count(*) FROM rest)
  ), e AS (SELECT * FROM rest UNION ALL SELECT * FROM more),
  valued AS MATERIALIZED (SELECT e.*, ${VALUES} AS values FROM e) ${cutAt('$6')}`,
  7,
);

function cutAt(bytes: string): string {
  return `, p AS (
    SELECT v.*, octet_length(v.values) AS size, (SELECT count(*) FROM e) AS found,
        coalesce(sum(octet_length(v.values)) OVER (ORDER BY v.tid, v.resource, v.id), 0) AS bytes
      FROM valued v
  )
  SELECT ${ENTRY_COLUMNS}, e.values, e.found::text AS found, e.bytes::text AS bytes
    FROM p e WHERE e.bytes - coalesce(e.size, 0) < ${bytes} AND e.tid IS NOT NULL
    ORDER BY e.tid, e.resource, e.id`;
}

/** The entries at places of the journal, in the order of the places; one where there is none is left out. */
export async function entriesAt(db: Queryable, places: readonly Required<Position>[]): Promise<JournalEntry[]> {
  const { rows } = await db.query<EntryRow>(
    `SELECT ${ENTRY_WITH_VALUES}
       FROM unnest($1::text[], $2::bigint[], $3::text[]) WITH ORDINALITY b(resource, tid, id, n)
       JOIN tidemark.journal e ON e.resource = b.resource AND e.tid = b.tid AND e.id = b.id ORDER BY b.n`,
    [places.map(({ resource }) => resource), places.map(({ tid }) => tid), places.map(({ id }) => id)],
    'tidemark_entries_at',
  );
  return rows.map(toEntry);
}

/** The head (highest tid ever drawn) and the safe tid (up to which nothing can appear any more). */
export async function frontier(db: Queryable): Promise<{ head: number; safe: number }> {
  const { rows } = await db.query<{ head: string; safe: string }>(
    'SELECT head, safe FROM tidemark.frontier()',
    [],
    'tidemark_frontier',
  );
  const row = rows[0] as { head: string; safe: string };
  return { head: Number(row.head), safe: Number(row.safe) };
}

/** The name of this database in cursors; a copy of it has another one, which is settled by this. */
export async function readEpoch(db: Queryable): Promise<string> {
  const { rows } = await db.query<{ epoch: string }>('SELECT tidemark.settle_epoch() AS epoch');
  return (rows[0] as { epoch: string }).epoch;
}

/** Changes with old and new values, after a position, by (tid, resource, id). */
export async function readChanges(db: Queryable, options: ReadOptions): Promise<Change[]> {
  return withOldValues(db, await readEntries(db, options));
}

/** The changes of one row, newest first, before a tid (exclusive). */
export async function changesOf(
  db: Queryable,
  resource: string,
  id: string,
  options: { before?: number; limit: number },
): Promise<Change[]> {
  const { rows } = await db.query<EntryRow>(
    `SELECT ${ENTRY_WITH_VALUES}
       FROM tidemark.journal e WHERE e.resource = $1 AND e.id = $2 AND e.tid < $3 ORDER BY e.tid DESC LIMIT $4`,
    [resource, id, options.before ?? Number.MAX_SAFE_INTEGER, options.limit],
  );
  return withOldValues(db, rows.map(toEntry));
}

/** The changes at places of the journal, as `entriesAt` gives them, with old values. */
export async function changesAt(db: Queryable, places: readonly Required<Position>[]): Promise<Change[]> {
  return withOldValues(db, await entriesAt(db, places));
}

/** All changes of one tid; KernelError `not_found` when there is none. */
export async function changesOfTid(db: Queryable, tid: number): Promise<Change[]> {
  const entries = await readEntries(db, {
    after: { tid: tid - 1 },
    upto: tid,
    limit: Number.MAX_SAFE_INTEGER,
  });
  if (entries.length === 0) throw new KernelError('not_found', `no change has the tid ${tid}`);
  return withOldValues(db, entries);
}
