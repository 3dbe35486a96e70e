import { parseExact } from './exact-json.ts';
import type { Row } from './resource.ts';

/** One journaled change of one row, with the new values only: what the tail delivers. */
export interface JournalEntry {
  readonly resource: string;
  readonly tid: number;
  readonly id: string;
  /** CREATE, MODIFY, DELETE; a domain may add keywords of its own. */
  readonly change: string;
  /** RFC 3339 in UTC, with PostgreSQL's microseconds: given back as `as_of` it means this change included. */
  readonly time: string;
  readonly author: string;
  readonly ipnr: string | null;
  readonly authenticated: boolean | null;
  /** The process that made the change; null for SQL from elsewhere. */
  readonly origin: string | null;
  readonly db_role: string;
  /** The first tid of the ModelTransaction, or of the SQL transaction. */
  readonly txn: number;
  readonly row_version: number | null;
  readonly comment: string | null;
  readonly meta: Row | null;
  /** Field → new value; empty for DELETE. */
  readonly values: Row;
}

/** One journaled change as clients see it, with old and new values. */
export interface Change extends Omit<JournalEntry, 'db_role' | 'row_version' | 'values'> {
  readonly fields: Record<string, { old: unknown; new: unknown }>;
}

/** A place in the journal: after the row (tid, resource, id), or after the whole tid. */
export interface Position {
  readonly tid: number;
  readonly resource?: string;
  readonly id?: string;
}

/**
 * The order of the journal, which is the database's: by tid, inside it by the bytes of resource and id; a whole tid stands after
 * everything inside it. Negative when `a` is before `b`.
 */
export function comparePositions(a: Position, b: Position): number {
  if (a.tid !== b.tid) return a.tid - b.tid;
  if (a.resource === undefined || b.resource === undefined) {
    return Number(a.resource === undefined) - Number(b.resource === undefined);
  }
  return compareBytes(a.resource, b.resource) || compareBytes(a.id ?? '', b.id ?? '');
}

// Strings compare by UTF-16, in which a character beyond U+FFFF comes before U+E000.
function compareBytes(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** A row as the journal statements select it (ENTRY_COLUMNS): numbers as the driver gives them, JSON as text. */
export interface EntryRow extends Omit<JournalEntry, 'tid' | 'txn' | 'row_version' | 'meta' | 'values'> {
  readonly tid: string;
  readonly txn: string;
  readonly row_version: string | null;
  readonly meta: string | null;
  readonly values: string | null;
}

/** A time, given in SQL, as RFC 3339 in UTC, to the microsecond. */
export function utc(sql: string): string {
  return `to_char(${sql} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

export const ENTRY_COLUMNS = `e.resource, e.tid, e.id, e.change,
  ${utc('e.time')} AS time, e.author, host(e.ipnr) AS ipnr, e.authenticated,
  e.origin, e.db_role, e.txn, e.row_version, e.comment, e.meta::text AS meta`;

export function toEntry(row: EntryRow): JournalEntry {
  return {
    ...row,
    tid: Number(row.tid),
    txn: Number(row.txn),
    row_version: row.row_version === null ? null : Number(row.row_version),
    meta: row.meta === null ? null : (parseExact(row.meta) as Row),
    values: row.values === null ? {} : (parseExact(row.values) as Row),
  };
}
