import { type RawBuilder, sql } from 'kysely';
import { gathered, type Queryable } from '#libs/database';
import { gatherJsonKeys, type ModelTransaction, parseExact, resolveAsOf, rowAsOf, utc } from '#libs/journal';
import { noTicket, TEXT_FIELDS, type TextField, type Ticket, type TicketRow, ticket, ticketId } from './ticket.ts';
import { callerOf, type TicketOptions } from './ticket-edit.ts';
import { type OfferedAction, offeredActions } from './transition.ts';
import { defaultWorkflow } from './workflow.ts';

/** The ticket as it is. Throws `not_found`. */
export async function getTicket(db: Queryable, id: string): Promise<Ticket> {
  const found = await findTicket(db, ticketId(id));
  if (!found) throw noTicket(id);
  return found;
}

/** The ticket as of a tid or a time. Throws `not_found` also for a time outside the journal. */
export async function getTicketAsOf(db: Queryable, id: string, asOf: string): Promise<Ticket> {
  ticketId(id);
  const tid = await resolveAsOf(db, asOf);
  const found = await findTicketAt(db, id, tid);
  if (!found) throw noTicket(id);
  return found;
}

/** The ticket as of a tid; undefined when it did not exist then. */
export async function findTicketAt(db: Queryable, id: string, tid: number): Promise<Ticket | undefined> {
  const found = await rowAsOf(db, ticket.name, id, tid);
  if (!found) return undefined;
  const { entry } = found;
  const values = gatherJsonKeys(ticket, found.values);
  const { created, changed } = await findTimes(db, BigInt(id), entry.tid);
  return {
    id,
    // a field that was added later had no value then
    ...(Object.fromEntries(TEXT_FIELDS.map((field) => [field, values[field] ?? ''])) as Record<TextField, string>),
    custom: values['custom'] as Record<string, unknown>,
    comments: Number(values['comments'] ?? 0),
    ...{ created, changed, tid: entry.tid, row_version: entry.row_version ?? 0 },
  };
}

/** What a user may do with a ticket as it stands. Throws `not_found`. */
export async function getTicketActions(
  db: Queryable,
  id: string,
  user: string,
  options: TicketOptions = {},
): Promise<OfferedAction[]> {
  const found = await findRow(db, ticketId(id));
  if (!found) throw noTicket(id);
  return offeredActions(options.workflow ?? defaultWorkflow, found.row, callerOf(user, options));
}

/** A row as the driver gives it. */
export type SelectedRow = Record<TextField | 'id' | 'custom' | 'row_version', string> & { comments: number };
export type SelectedTicket = SelectedRow & { created: string; changed: string; tid: string };

export const ROW_COLUMNS = [
  't.id::text AS id',
  ...TEXT_FIELDS.map((field) => `t.${field}`),
  't.custom::text AS custom, t.comments, t.row_version::text AS row_version',
].join(', ');
/** Of a ticket t, when it was opened, when it last changed and the tid of that. */
export const FIRST_AND_LAST_CHANGE = `
  CROSS JOIN LATERAL (SELECT time FROM ticket_journal WHERE id = t.id::text ORDER BY tid LIMIT 1) first_change
  CROSS JOIN LATERAL (SELECT time, tid FROM ticket_journal WHERE id = t.id::text ORDER BY tid DESC LIMIT 1) last_change`;
export const CHANGE_COLUMNS = `${utc('first_change.time')} AS created, ${utc('last_change.time')} AS changed, last_change.tid::text AS tid`;

/** The ticket with its first and last change, in one snapshot. */
export async function findTicket(db: Queryable, id: bigint): Promise<Ticket | undefined> {
  const { rows } = await db.query<SelectedTicket>(
    `SELECT ${ROW_COLUMNS}, ${CHANGE_COLUMNS} FROM ticket t ${FIRST_AND_LAST_CHANGE} WHERE t.id = $1`,
    [id],
    'tidemark_ticket',
  );
  return rows[0] && toTicket(rows[0]);
}

/** The row, and when it was opened. */
export const findRow = gathered<bigint, { row: TicketRow; created: string }>(async (db, ids) => {
  const { rows } = await db.query<SelectedRow & { created: string }>(
    `SELECT ${ROW_COLUMNS}, ${utc('(SELECT time FROM ticket_journal WHERE id = t.id::text ORDER BY tid LIMIT 1)')} AS created
       FROM ticket t WHERE t.id = ANY ((SELECT $1)::bigint[])`,
    [ids],
    'tidemark_ticket_rows',
  );
  return new Map(rows.map(({ created, ...selected }) => [BigInt(selected.id), { row: toRow(selected), created }]));
});

/**
 * Locks tickets against other writers, in the order of their ids, and returns them in it. `comments` is also not below the number of any
 * comment that was written past it.
 */
export async function lockRows(tx: ModelTransaction, ids: readonly bigint[]): Promise<TicketRow[]> {
  const { rows } = await sql<SelectedRow>`
    SELECT ${sql.raw(ROW_COLUMNS)}, greatest(t.comments, ${LAST_COMMENT}) AS comments
      FROM ticket t WHERE t.id = ANY (${ids.map(String)}::bigint[]) ORDER BY t.id FOR NO KEY UPDATE OF t`.execute(
    tx.read,
  );
  return rows.map(toRow);
}
const LAST_COMMENT: RawBuilder<number> = sql`(SELECT max(c.number) FROM ticket_comment c WHERE c.ticket_id = t.id)`;

/** When a ticket was opened, and the time of one of its changes. */
export async function findTimes(db: Queryable, id: bigint, tid: number): Promise<{ created: string; changed: string }> {
  const { rows } = await db.query<{ created: string; changed: string }>(
    `SELECT ${utc('(SELECT time FROM ticket_journal WHERE id = $1 ORDER BY tid LIMIT 1)')} AS created,
       ${utc('(SELECT time FROM ticket_journal WHERE id = $1 AND tid = $2)')} AS changed`,
    [String(id), tid],
    'tidemark_ticket_times',
  );
  return rows[0] as { created: string; changed: string };
}

export function toTicket({ created, changed, tid, ...selected }: SelectedTicket): Ticket {
  return ticketOf(toRow(selected), { created, changed, tid: Number(tid) });
}

/** A row and its times as clients see them. */
export function ticketOf(row: TicketRow, times: Pick<Ticket, 'created' | 'changed' | 'tid'>): Ticket {
  const { created, changed, tid } = times;
  const custom = parseExact(row.custom) as Record<string, unknown>;
  return { ...row, id: String(row.id), custom, created, changed, tid };
}

function toRow(selected: SelectedRow): TicketRow {
  return { ...selected, id: BigInt(selected.id), row_version: Number(selected.row_version) };
}
