import { KernelError, type Queryable } from '#libs/database';
import { ENTRY_COLUMNS, type EntryRow, type JournalEntry, toEntry } from './entry.ts';
import { parseExact } from './exact-json.ts';
import { frontier } from './journal.queries.ts';
import { bearers, findId, type Resource, type Row } from './resource.ts';

/**
 * The tid that "as of" a text means: a tid itself, or for an RFC 3339 time the highest tid whose time is not later (times are not monotone
 * along the journal, so the time is resolved first and everything is then read by tid). Never above the safe tid, so what is read
 * there does not change any more. KernelError `malformed` for other texts, `not_found` in the future or before the beginning.
 */
export async function resolveAsOf(db: Queryable, asOf: string): Promise<number> {
  const { safe } = await frontier(db);
  const tid = /^\d{1,16}$/.test(asOf) ? Number(asOf) : await tidAt(db, rfc3339(asOf), safe);
  if (tid > safe)
    throw new KernelError('not_found', `as_of ${asOf} is in the future: the journal reaches to tid ${safe}`);
  if (tid < (await firstTid(db))) {
    throw new KernelError('not_found', `as_of ${asOf} is before the beginning of the journal`);
  }
  return tid;
}

function rfc3339(text: string): string {
  const shape = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/;
  if (!shape.test(text) || Number.isNaN(Date.parse(text))) {
    throw new KernelError(
      'malformed',
      `as_of must be a tid or a time such as 2026-01-31T12:00:00Z, not ${JSON.stringify(text.slice(0, 100))}`,
    );
  }
  return text;
}

async function tidAt(db: Queryable, time: string, safe: number): Promise<number> {
  const { rows } = await db.query<{ future: boolean; tid: string | null }>(
    `SELECT $1::timestamptz > clock_timestamp() AS future,
       (SELECT tid FROM tidemark.journal WHERE time <= $1::timestamptz AND tid <= $2 ORDER BY tid DESC LIMIT 1) AS tid`,
    [time, safe],
  );
  const row = rows[0] as { future: boolean; tid: string | null };
  if (row.future) throw new KernelError('not_found', `as_of ${time} is in the future`);
  return Number(row.tid ?? -1);
}

async function firstTid(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ tid: string }>('SELECT tid FROM tidemark.journal ORDER BY tid LIMIT 1');
  return Number(rows[0]?.tid ?? Number.POSITIVE_INFINITY);
}

/** One row as of a tid, folded from its last CREATE, with the last change up to then; undefined when it did not exist then. */
export async function rowAsOf(
  db: Queryable,
  resource: string,
  id: string,
  tid: number,
): Promise<{ values: Row; entry: JournalEntry } | undefined> {
  const { rows } = await db.query<EntryRow & { folded: string | null }>(
    `SELECT ${ENTRY_COLUMNS}, NULL AS values, (
         SELECT json_object_agg(f.field, f.value)::text FROM (
           SELECT DISTINCT ON (h.field) h.field, h.value FROM tidemark.journal j
             JOIN tidemark.history h ON h.resource = j.resource AND h.tid = j.tid AND h.id = j.id
             WHERE j.resource = $1 AND j.id = $2 AND j.tid BETWEEN born.tid AND $3
             ORDER BY h.field, j.tid DESC
         ) f WHERE f.value IS NOT NULL
       ) AS folded
       FROM (
         SELECT * FROM tidemark.journal WHERE resource = $1 AND id = $2 AND tid <= $3 ORDER BY tid DESC LIMIT 1
       ) e CROSS JOIN (
         SELECT tid, change FROM tidemark.journal
           WHERE resource = $1 AND id = $2 AND tid <= $3 AND change IN ('CREATE', 'DELETE') ORDER BY tid DESC LIMIT 1
       ) born WHERE born.change = 'CREATE'`,
    [resource, id, tid],
    'tidemark_row_as_of',
  );
  const row = rows[0];
  if (!row) return undefined;
  const { folded, ...entry } = row;
  return { values: folded === null ? {} : (parseExact(folded) as Row), entry: toEntry(entry) };
}

/** The rows of a resource as of a tid, by id in byte order, after an id: a page of at most `limit`. */
export async function rowsAsOf(
  db: Queryable,
  resource: string,
  tid: number,
  options: { after?: string; limit: number },
): Promise<{ id: string; values: Row }[]> {
  const { rows } = await db.query<{ id: string; folded: string | null }>(
    `SELECT b.id, (
         SELECT json_object_agg(f.field, f.value)::text FROM (
           SELECT DISTINCT ON (h.field) h.field, h.value FROM tidemark.journal j
             JOIN tidemark.history h ON h.resource = j.resource AND h.tid = j.tid AND h.id = j.id
             WHERE j.resource = $1 AND j.id = b.id AND j.tid BETWEEN b.tid AND $2
             ORDER BY h.field, j.tid DESC
         ) f WHERE f.value IS NOT NULL
       ) AS folded
       FROM (
         SELECT DISTINCT ON (id) id, tid, change FROM tidemark.journal
           WHERE resource = $1 AND id > $3 AND tid <= $2 AND change IN ('CREATE', 'DELETE')
           ORDER BY id, tid DESC
       ) b WHERE b.change = 'CREATE' ORDER BY b.id LIMIT $4`,
    [resource, tid, options.after ?? '', options.limit],
    'tidemark_rows_as_of',
  );
  return rows.map((row) => ({
    id: row.id,
    values: row.folded === null ? {} : (parseExact(row.folded) as Row),
  }));
}

/** The id of the row that people meant by a text as of a tid: the row that bore it as its alias then, else the row with that id. */
export async function findIdAsOf(
  db: Queryable,
  resource: Resource,
  text: string,
  tid: number,
): Promise<string | undefined> {
  for (const id of await bearers(db, resource, text)) {
    const row = await rowAsOf(db, resource.name, id, tid);
    if (row && row.values[resource.alias as string] === text) return id;
  }
  return resource.alias === undefined ? findId(db, resource, text) : undefined;
}
