import { KernelError } from '#libs/database';
import { defineResource, type Resource } from '#libs/journal';
import { parseRowId } from '../row-id.ts';

/** The fields of a ticket that are text, in the order in which people read them. */
export const TEXT_FIELDS = [
  ...(['summary', 'description', 'type', 'status', 'resolution', 'priority', 'severity', 'component'] as const),
  ...(['milestone', 'version_affected', 'owner', 'reporter', 'cc', 'keywords'] as const),
] as const;
export type TextField = (typeof TEXT_FIELDS)[number];

/** A row of the table. The id is a bigint, so that rows are locked in the order of numbers; custom is JSON as the database writes it. */
export interface TicketRow extends Record<TextField, string> {
  id: bigint;
  custom: string;
  /** The number of the last comment. */
  comments: number;
  row_version: number;
}

export interface TicketCommentRow {
  ticket_id: bigint;
  number: number;
  text: string;
  row_version: number;
}

export const ticket: Resource<TicketRow> = defineResource<TicketRow>({ name: 'ticket', jsonKeys: ['custom'] });

/** A comment on a ticket; its author and time are those of its change. */
export const ticketComment: Resource<TicketCommentRow> = defineResource<TicketCommentRow>({
  name: 'ticket_comment',
  key: ['ticket_id', 'number'],
});

/** A ticket as clients see it: its row, when it was opened and last changed, and the tid of its last change. */
export interface Ticket extends Record<TextField, string> {
  id: string;
  custom: Record<string, unknown>;
  comments: number;
  created: string;
  changed: string;
  tid: number;
  row_version: number;
}

/** The id of a text. Throws `not_found` for what no ticket can be called: it is as unknown as any other. */
export function ticketId(text: string): bigint {
  const id = parseRowId(text);
  if (id === undefined) throw noTicket(text);
  return id;
}

/** The error of an id that no ticket has. */
export function noTicket(id: string | bigint): KernelError {
  return new KernelError('not_found', `there is no ticket ${String(id).slice(0, 100)}`);
}
