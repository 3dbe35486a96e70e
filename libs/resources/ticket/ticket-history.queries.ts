import type { Queryable } from '#libs/database';
import { type Change, changesAt, findId, type Position } from '#libs/journal';
import { noTicket, ticket, ticketId } from './ticket.ts';

/** A change of a ticket or of a comment on it. `number`: of the comment that was made with it, whose text is the change's comment. */
export interface TicketChange extends Change {
  readonly number: number | null;
}

/**
 * The changes of a ticket and of its comments, the newest first, before a place: each comment together with the fields that changed
 * with it. A comment that was written, edited or deleted past its ticket is a change of its own, of `ticket_comment`. Also of a ticket that
 * was deleted; throws `not_found` when there never was one.
 */
export async function getTicketHistory(
  db: Queryable,
  id: string,
  { before, limit }: { before?: Position; limit: number },
): Promise<TicketChange[]> {
  const key = String(ticketId(id));
  const places = await findPlaces(db, key, before, limit);
  if (places.length === 0 && (await findId(db, ticket, key)) === undefined) throw noTicket(id);
  const changes = await changesAt(db, places);
  return changes.map((change) => ({ ...change, number: numberOf(change) }));
}

// In the C collation all ids [7,…] stand between "[7," and "[7-".
async function findPlaces(
  db: Queryable,
  id: string,
  before: Position | undefined,
  limit: number,
): Promise<Required<Position>[]> {
  const { tid = Number.MAX_SAFE_INTEGER, resource = '', id: row = '' } = before ?? {};
  const { rows } = await db.query<{ tid: string; resource: string; id: string }>(
    `SELECT tid::text AS tid, resource, id FROM (
         SELECT tid, resource, id FROM ticket_journal WHERE id = $1
         UNION ALL
         SELECT c.tid, c.resource, c.id FROM ticket_comment_journal c
           WHERE c.id >= $2 AND c.id < $3 AND NOT (c.change = 'CREATE' AND EXISTS (
             SELECT FROM ticket_history h
               WHERE h.tid = c.tid AND h.id = $1 AND h.field = 'comments' AND h.value = c.id::jsonb -> 1))
       ) j WHERE (tid, resource, id) < ($4, $5, $6) ORDER BY j.tid DESC, resource DESC, id DESC LIMIT $7`,
    [id, `[${id},`, `[${id}-`, tid, resource, row, limit],
    'tidemark_ticket_history',
  );
  return rows.map(({ tid: number, ...place }) => ({ tid: Number(number), ...place }));
}

function numberOf({ resource, change, comment, fields }: Change): number | null {
  const number = fields['comments']?.new;
  return resource === ticket.name && change === 'MODIFY' && comment !== null && typeof number === 'number'
    ? number
    : null;
}
