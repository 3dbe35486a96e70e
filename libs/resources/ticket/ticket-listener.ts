import type { Queryable } from '#libs/database';
import type { EffectListener } from '#libs/effects';
import { type Change, entriesAt, type JournalEntry, journalId, withOldValues } from '#libs/journal';
import { type ListeningOptions, listening, type OldValues, oldValues, type Told } from '../listening.ts';
import { findTicketAt } from './ticket.queries.ts';
import { type Ticket, ticket, ticketComment } from './ticket.ts';
import { wentWithTicket } from './ticket-listener.queries.ts';

/** A comment of which a listener is told: `old` is null for a new one, `text` for one that is gone. */
export interface ToldComment {
  readonly number: number;
  readonly text: string | null;
  readonly old: string | null;
}

/**
 * What may happen to tickets, in the style of Trac's ITicketChangeListener. Fields that change and the comment that was made with it are one
 * call. The ticket is as it was right after the change, though others may have followed.
 */
export interface TicketListener {
  ticketCreated?(ticket: Ticket, told: Told): void | Promise<void>;
  /** `comment`: what was said about the change; null for nothing. `old`: what the fields that changed held before. */
  ticketChanged?(
    ticket: Ticket,
    comment: string | null,
    author: string,
    old: OldValues,
    told: Told,
  ): void | Promise<void>;
  /** The ticket as it was before. Its comments go without a word. */
  ticketDeleted?(ticket: Ticket, told: Told): void | Promise<void>;
  /** A comment was made while no field changed, or it was edited or deleted. */
  ticketCommented?(ticket: Ticket, comment: ToldComment, told: Told): void | Promise<void>;
}

/**
 * A listener for Kernel.listen() out of one for tickets: told of each change once, of those of one ticket in order, where `as` says. One that
 * is slow delays only itself; one that throws is called again if it is called for effects.
 */
export function ticketListener(db: Queryable, listener: TicketListener & ListeningOptions): EffectListener {
  return listening(listener, [ticket.name, ticketComment.name], async (entry, effect) => {
    const more = effect && { effect };
    if (entry.resource === ticketComment.name) await tellOfComment(db, listener, entry, more);
    else if (entry.change === 'CREATE') await tellOfTicket(db, listener.ticketCreated?.bind(listener), entry, more);
    else if (entry.change === 'DELETE') await tellOfTicket(db, listener.ticketDeleted?.bind(listener), entry, more);
    else await tellOfChange(db, listener, entry, more);
  });
}

type More = Omit<Told, 'change'> | undefined;

async function tellOfTicket(
  db: Queryable,
  tell: TicketListener['ticketCreated'],
  entry: JournalEntry,
  more: More,
): Promise<void> {
  if (tell === undefined) return;
  const found = await findTicketAt(db, entry.id, entry.change === 'DELETE' ? entry.tid - 1 : entry.tid);
  if (found) await tell(found, { change: await changeOf(db, entry), ...more });
}

async function tellOfChange(db: Queryable, listener: TicketListener, entry: JournalEntry, more: More): Promise<void> {
  const { tid, id, values } = entry;
  const alone = Object.keys(values).every((field) => field === 'comments');
  if ((alone ? listener.ticketCommented : listener.ticketChanged) === undefined) return;
  const comment = await commentWith(db, entry);
  // the number alone: a comment that was written past its ticket tells of itself
  if (alone && comment === undefined) return;
  const found = await findTicketAt(db, id, tid);
  if (!found) return;
  const change = await changeOf(db, entry);
  const told = { change, ...more };
  if (alone && comment) await listener.ticketCommented?.(found, comment, told);
  else {
    const said = comment?.text ?? change.comment;
    await listener.ticketChanged?.(found, said, change.author, oldValues(change, ['comments']), told);
  }
}

/** The comment that was made under the same tid. */
async function commentWith(db: Queryable, { tid, id, values }: JournalEntry): Promise<ToldComment | undefined> {
  const number = values['comments'];
  if (typeof number !== 'number') return undefined;
  const place = { tid, resource: ticketComment.name, id: journalId(ticketComment, [BigInt(id), number]) };
  const [comment] = await entriesAt(db, [place]);
  return comment?.change === 'CREATE' ? { number, text: String(comment.values['text']), old: null } : undefined;
}

/** A comment that is not told of with its ticket. */
async function tellOfComment(db: Queryable, listener: TicketListener, entry: JournalEntry, more: More): Promise<void> {
  if (listener.ticketCommented === undefined) return;
  const [, id, number] = /^\[(\d+),(\d+)\]$/.exec(entry.id) as unknown as [string, string, string];
  if (entry.change === 'CREATE' && (await isToldWithTicket(db, entry, id, Number(number)))) return;
  if (entry.change === 'DELETE' && (await wentWithTicket(db, id, entry.txn))) return;
  const found = await findTicketAt(db, id, entry.tid);
  if (!found) return;
  const change = await changeOf(db, entry);
  const { old, new: text } = change.fields['text'] ?? {};
  if (old === undefined && text === undefined) return;
  const comment = { number: Number(number), text: textOf(text), old: textOf(old) };
  await listener.ticketCommented(found, comment, { change, ...more });
}

async function isToldWithTicket(db: Queryable, { tid }: JournalEntry, id: string, number: number): Promise<boolean> {
  const [entry] = await entriesAt(db, [{ tid, resource: ticket.name, id }]);
  return entry?.change === 'MODIFY' && entry.values['comments'] === number;
}

async function changeOf(db: Queryable, entry: JournalEntry): Promise<Change> {
  const [change] = await withOldValues(db, [entry]);
  return change as Change;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
