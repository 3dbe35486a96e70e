import { createHash } from 'node:crypto';
import { KernelError } from '#libs/database';
import { parseRowId, type TicketListOptions, type TicketPlace } from '#libs/resources';

/** A cursor into one list of tickets: of one database, one filter and one order. */
export function encodeTicketCursor(epoch: string, list: List, { value, id }: TicketPlace): string {
  return Buffer.from(JSON.stringify([epoch, nameOf(list), value, id])).toString('base64url');
}

/** The place of a cursor; throws `malformed` for garbage, and for a cursor of another database or another list. */
export function decodeTicketCursor(epoch: string, list: List, cursor: string): TicketPlace {
  const [from, of, value, id] = parts(cursor);
  if (from !== epoch) throw new KernelError('malformed', 'the cursor belongs to another database');
  if (of !== nameOf(list))
    throw new KernelError('malformed', 'the cursor belongs to a list with other filters or another order');
  return { value, id };
}

type List = Pick<TicketListOptions, 'fields' | 'custom' | 'sort' | 'descending'>;

function nameOf({ fields, custom, sort, descending }: List): string {
  const filters = [Object.entries(fields), Object.entries(custom)].map((each) =>
    each.filter(([, values]) => values !== undefined).sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  return createHash('sha256')
    .update(JSON.stringify([filters, sort, descending]))
    .digest('base64url')
    .slice(0, 12);
}

function parts(cursor: string): [string, string, string, string] {
  try {
    const found: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    const whole = Array.isArray(found) && found.length === 4 && found.every((part) => typeof part === 'string');
    const [, , value, id] = (whole ? found : []) as string[];
    if (id !== undefined && parseRowId(id) !== undefined && !/\0/.test(value as string)) {
      return found as [string, string, string, string];
    }
  } catch {
    // not JSON: refused below like any other garbage
  }
  throw new KernelError('malformed', 'the cursor is not one that this program gave out');
}
