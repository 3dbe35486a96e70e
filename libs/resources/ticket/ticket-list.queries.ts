import { type Expression, type RawBuilder, type SqlBool, sql } from 'kysely';
import type { Writer } from '#libs/journal';
import { checkCharacters } from '../characters.ts';
import { CHANGE_COLUMNS, FIRST_AND_LAST_CHANGE, ROW_COLUMNS, type SelectedTicket, toTicket } from './ticket.queries.ts';
import { TEXT_FIELDS, type TextField, type Ticket } from './ticket.ts';

/** By what a list may be sorted; `-` before it turns the order round. */
export const SORTS = [
  'id',
  ...TEXT_FIELDS.filter((field) => !['description', 'cc', 'keywords'].includes(field)),
] as const;
export type Sort = 'id' | TextField;

/** Which tickets: of each field any of the values; of cc and keywords, lists that hold any of them. */
export interface TicketFilter {
  readonly fields: { readonly [field in TextField]?: readonly string[] | undefined };
  readonly custom: Readonly<Record<string, readonly string[]>>;
}

/** The place of a ticket in a sorted list. */
export interface TicketPlace {
  readonly value: string;
  readonly id: string;
}

export interface TicketListOptions extends TicketFilter {
  readonly sort: Sort;
  readonly descending: boolean;
  readonly after?: TicketPlace | undefined;
  readonly limit: number;
}

/** Descriptions may be long: a page ends early once its tickets have so many bytes. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Tickets in order, after a place: at most `limit`, and `more` when there are others after them. Whoever follows the places meets
 * every ticket that stays where it is once, whatever is written meanwhile. Throws `invalid` for a value that no field can hold.
 */
export async function listTickets(
  db: Writer['db'],
  options: TicketListOptions,
): Promise<{ items: Ticket[]; more: boolean }> {
  checkFilter(options);
  const { limit, descending } = options;
  const order = sortColumn(options.sort);
  const direction = sql.raw(descending ? 'DESC' : 'ASC');
  const sorted = sql`ORDER BY ${order} ${direction}, t.id ${direction}`;
  const { rows } = await sql<SelectedTicket & { found: string }>`
    SELECT ${sql.raw(ROW_COLUMNS)}, ${sql.raw(CHANGE_COLUMNS)}, t.found FROM (
        SELECT t.*, count(*) OVER () AS found,
            sum(octet_length(t.description) + octet_length(t.custom::text))
              OVER (${sorted} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
          FROM (SELECT * FROM ticket t WHERE ${conditions(options)} ${sorted} LIMIT ${limit + 1}) t
      ) t ${sql.raw(FIRST_AND_LAST_CHANGE)}
      WHERE coalesce(t.bytes_before, 0) < ${MAX_BYTES} ${sorted} LIMIT ${limit}`.execute(db);
  const found = Number(rows[0]?.found ?? 0);
  return { items: rows.map(({ found: _, ...row }) => toTicket(row)), more: found > rows.length };
}

/** The place of a ticket in a list. */
export function placeOf(ticket: Ticket, sort: Sort): TicketPlace {
  return { value: sort === 'id' ? '' : ticket[sort], id: ticket.id };
}

function checkFilter({ fields, custom }: TicketFilter): void {
  for (const [name, values = []] of Object.entries(fields)) for (const value of values) checkCharacters(value, name);
  for (const [name, values] of Object.entries(custom))
    for (const value of values) checkCharacters(value, `custom.${name}`);
}

function conditions(options: TicketListOptions): RawBuilder<SqlBool> {
  const { fields, custom, after, sort, descending } = options;
  const all: Expression<SqlBool>[] = [
    ...TEXT_FIELDS.flatMap((field) => (fields[field] === undefined ? [] : [holdsAny(field, fields[field])])),
    ...Object.entries(custom).map(([name, values]) => sql<SqlBool>`t.custom ->> ${name} = ANY (${values})`),
  ];
  if (after !== undefined) {
    const beyond = sql.raw(descending ? '<' : '>');
    all.push(
      sort === 'id'
        ? sql<SqlBool>`t.id ${beyond} ${after.id}`
        : sql<SqlBool>`(${sortColumn(sort)}, t.id) ${beyond} (${after.value}, ${after.id}::bigint)`,
    );
  }
  return all.length === 0 ? sql`true` : sql`${sql.join(all, sql` AND `)}`;
}

function holdsAny(field: TextField, values: readonly string[]): RawBuilder<SqlBool> {
  const column = sql.ref(`t.${field}`);
  if (field !== 'cc' && field !== 'keywords') return sql`${column} = ANY (${values})`;
  return sql`(string_to_array(${column}, ', ') && ${values}::text[] OR ${column} = '' AND '' = ANY (${values}))`;
}

// By code point: the order of a language would change with the library that knows it, and break cursors.
function sortColumn(sort: Sort): RawBuilder<unknown> {
  return sort === 'id' ? sql`t.id` : sql`${sql.ref(`t.${sort}`)} COLLATE "C"`;
}
