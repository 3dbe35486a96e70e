import type { Queryable } from '#libs/database';
import type { Change, JournalEntry } from './entry.ts';
import { parseExact } from './exact-json.ts';

// With a limit of bytes, so many entries are read at a time: what the database reads beyond the limit is in vain.
const SLICE = 64;

/**
 * Adds what each field held before, by index. With `bytes`, to the first of the entries only: up to the one whose old values reach so many
 * bytes, one at least; two statements for every 64. Without, two for all.
 */
export async function withOldValues(
  db: Queryable,
  entries: readonly JournalEntry[],
  { bytes }: { bytes?: number } = {},
): Promise<Change[]> {
  const size = bytes === undefined ? entries.length : SLICE;
  const changes: Change[] = [];
  let left = bytes ?? Number.MAX_SAFE_INTEGER;
  while (changes.length < entries.length && left > 0) {
    const slice = entries.slice(changes.length, changes.length + size);
    const read = await readOldValues(db, slice, left);
    changes.push(...slice.slice(0, read.count).map((entry, n) => toChange(entry, read.old[n] ?? {})));
    left = read.count < slice.length ? 0 : left - read.bytes;
  }
  return changes;
}

interface OldValues {
  readonly old: Record<string, unknown>[];
  /** How many of the entries, from the first on, have their values here. */
  count: number;
  bytes: number;
}

async function readOldValues(db: Queryable, entries: readonly JournalEntry[], bytes: number): Promise<OldValues> {
  const values: OldValues = { old: entries.map(() => ({})), count: entries.length, bytes: 0 };
  const places = (wanted: (change: string) => boolean) =>
    [...entries.keys()].filter((n) => wanted((entries[n] as JournalEntry).change));
  const modified = places((change) => change !== 'CREATE' && change !== 'DELETE');
  await addOldValues(db, values, entries, { places: modified, bytes, statement: OLD_OF_MODIFIED });
  const deleted = places((change) => change === 'DELETE');
  await addOldValues(db, values, entries, { places: deleted, bytes, statement: OLD_OF_DELETED });
  return values;
}

async function addOldValues(
  db: Queryable,
  values: OldValues,
  entries: readonly JournalEntry[],
  { places, bytes, statement }: { places: readonly number[]; bytes: number; statement: string },
): Promise<void> {
  if (places.length === 0) return;
  const batch = places.map((n) => entries[n] as JournalEntry);
  const { rows } = await db.query<{ n: string; old: string | null; fits: boolean }>(statement, [
    batch.map((e) => e.resource),
    batch.map((e) => e.tid),
    batch.map((e) => e.id),
    bytes,
  ]);
  for (const { n, old, fits } of rows) {
    const place = places[Number(n) - 1] as number;
    if (!fits) {
      values.count = Math.min(values.count, place);
      return;
    }
    if (old === null) continue;
    values.old[place] = parseExact(old) as Record<string, unknown>;
    values.bytes += old.length;
  }
}

// In the order of the entries, and without the values of those behind the one that reaches the limit.
const upTo = (select: string) => `
  SELECT o.n, o.fits, CASE WHEN o.fits THEN o.old END AS old FROM (
    SELECT o.*, coalesce(sum(octet_length(o.old)) OVER (ORDER BY o.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) < $4::bigint AS fits
      FROM (${select} OFFSET 0) o
  ) o ORDER BY o.n`;

const BATCH = 'unnest($1::text[], $2::bigint[], $3::text[]) WITH ORDINALITY b(resource, tid, id, n)';

// Walks the row's journal backwards to the last change that touched the field, at most to its CREATE.
const OLD_OF_MODIFIED = upTo(`
  SELECT b.n, json_object_agg(h.field, p.value)::text AS old
    FROM ${BATCH}
    JOIN tidemark.history h ON h.resource = b.resource AND h.tid = b.tid AND h.id = b.id
    LEFT JOIN LATERAL (
      SELECT o.value FROM tidemark.journal j
        LEFT JOIN tidemark.history o ON o.resource = j.resource AND o.tid = j.tid AND o.id = j.id AND o.field = h.field
        WHERE j.resource = b.resource AND j.id = b.id AND j.tid < b.tid AND (o.tid IS NOT NULL OR j.change IN ('CREATE', 'DELETE'))
        ORDER BY j.tid DESC LIMIT 1
    ) p ON true
    GROUP BY b.n`);

const OLD_OF_DELETED = upTo(`
  SELECT b.n, (
      SELECT json_object_agg(f.field, f.value)::text FROM (
        SELECT DISTINCT ON (h.field) h.field, h.value FROM tidemark.journal j
          JOIN tidemark.history h ON h.resource = j.resource AND h.tid = j.tid AND h.id = j.id
          WHERE j.resource = b.resource AND j.id = b.id AND j.tid < b.tid AND j.tid >= c.tid
          ORDER BY h.field, j.tid DESC
      ) f WHERE f.value IS NOT NULL
    ) AS old
    FROM ${BATCH}
    CROSS JOIN LATERAL (
      SELECT j.tid, j.change FROM tidemark.journal j
        WHERE j.resource = b.resource AND j.id = b.id AND j.tid < b.tid AND j.change IN ('CREATE', 'DELETE')
        ORDER BY j.tid DESC LIMIT 1
    ) c WHERE c.change = 'CREATE'`);

function toChange(entry: JournalEntry, old: Record<string, unknown>): Change {
  const names = entry.change === 'DELETE' ? Object.keys(old) : Object.keys(entry.values);
  const { tid, resource, id, change, author, ipnr, authenticated, origin, txn, comment, meta } = entry;
  return {
    ...{
      tid,
      resource,
      id,
      change,
      time: entry.time,
      author,
      ipnr,
      authenticated,
      origin,
      txn,
      comment,
      meta,
    },
    fields: Object.fromEntries(
      names.map((name) => [name, { old: old[name] ?? null, new: entry.values[name] ?? null }]),
    ),
  };
}
