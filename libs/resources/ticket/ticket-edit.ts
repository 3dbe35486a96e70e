import { KernelError } from '#libs/database';
import type { Actor, ModelTransaction } from '#libs/journal';
import { mergeCustom, sameCustom } from './custom.ts';
import { TEXT_FIELDS, type TicketRow, ticket, ticketComment } from './ticket.ts';
import type { TicketFields } from './ticket-fields.ts';
import { type Caller, transition } from './transition.ts';
import { defaultWorkflow, type Workflow } from './workflow.ts';

/** What a change of a ticket gives: fields, an action of the workflow in place of a status, and a comment. */
export type TicketPatch = TicketFields & {
  readonly action?: string | undefined;
  readonly comment?: string | undefined;
};

/** By which workflow a change is judged, and what the caller is permitted; by default Trac's, and everything. */
export interface TicketOptions {
  readonly workflow?: Workflow;
  may?(permission: string): boolean;
}

/** A change that was checked: what is to be written depends on the state of the ticket before it. */
export interface Edit {
  readonly patch: TicketPatch;
  readonly comment: string | undefined;
  readonly workflow: Workflow;
  readonly caller: Caller;
}

/** Columns that change, and the comment that is written with them. */
export interface Delta {
  readonly values: Partial<TicketRow>;
  readonly comment: string | undefined;
}

/** Throws `forbidden` for a comment by somebody who may not comment. A blank comment is none. */
export function editOf(actor: Actor, { comment, ...patch }: TicketPatch, options: TicketOptions): Edit {
  const caller = callerOf(actor.author, options);
  const blank = comment === undefined || comment.trim() === '';
  if (!blank && !caller.may('comment')) throw new KernelError('forbidden', 'this needs the permission ticket:comment');
  return { patch, comment: blank ? undefined : comment, workflow: options.workflow ?? defaultWorkflow, caller };
}

export function callerOf(user: string, options: TicketOptions): Caller {
  return { user, may: (permission) => options.may?.(permission) ?? true };
}

/** The actor of an edit: its comment is the comment of the change, too. */
export function actorOf(actor: Actor, { comment }: Edit): Actor {
  return comment === undefined ? actor : { ...actor, comment };
}

/** What an edit changes in a ticket as it stands; undefined when nothing. Throws what the workflow refuses. */
export function deltaOf(before: TicketRow, { patch, comment, workflow, caller }: Edit): Delta | undefined {
  const after = { ...before, ...textFields(patch), ...transition(workflow, before, patch, caller) };
  const values: Partial<TicketRow> = {};
  for (const field of TEXT_FIELDS) if (after[field] !== before[field]) values[field] = after[field];
  if (patch.custom !== undefined) {
    const custom = mergeCustom(before.custom, patch.custom);
    if (!sameCustom(custom, before.custom)) values.custom = custom;
  }
  if (comment !== undefined) values.comments = before.comments + 1;
  return Object.keys(values).length === 0 ? undefined : { values, comment };
}

/** Stages a change in one flush with its comment, if the ticket still stands as it was read. */
export function stageDelta(tx: ModelTransaction, before: TicketRow, { values, comment }: Delta): void {
  tx.save(ticket, before.id, values, { ifVersion: before.row_version });
  if (comment !== undefined) {
    tx.create(ticketComment, { ticket_id: before.id, number: values.comments as number, text: comment });
  }
}

export function textFields(fields: TicketFields): Partial<TicketRow> {
  return Object.fromEntries(TEXT_FIELDS.flatMap((name) => (fields[name] === undefined ? [] : [[name, fields[name]]])));
}
