import { KernelError } from '#libs/database';
import { type Actor, atVersion, type Condition, holds, staleError, versionTag, type Writer } from '#libs/journal';
import { refuse } from '../refuse.ts';
import { mergeCustom } from './custom.ts';
import { findRow, findTicket, findTimes, lockRows, ticketOf } from './ticket.queries.ts';
import { noTicket, type Ticket, type TicketRow, ticket, ticketId } from './ticket.ts';
import {
  actorOf,
  deltaOf,
  type Edit,
  editOf,
  stageDelta,
  type TicketOptions,
  type TicketPatch,
  textFields,
} from './ticket-edit.ts';
import { checkFields, type TicketFields } from './ticket-fields.ts';
import { defaultWorkflow, type Workflow } from './workflow.ts';

export type NewTicket = TicketFields & { readonly summary: string };

/** The highest tid a command drew, null when it changed nothing, and the ticket after it. */
export interface TicketChanged {
  readonly tid: number | null;
  readonly ticket: Ticket;
}

/** Opens a ticket; its reporter is the author unless given. Throws `invalid` that lists every field that is wrong. */
export async function createTicket(
  writer: Writer,
  actor: Actor,
  input: NewTicket,
  condition?: Condition,
  options: TicketOptions = {},
): Promise<TicketChanged & { tid: number }> {
  if (condition && !holds(condition, undefined)) throw staleError(condition, 'a ticket that is being opened');
  const fields = checkFields(input);
  const workflow = options.workflow ?? defaultWorkflow;
  const values = {
    ...DEFAULTS,
    ...{ reporter: actor.author, status: workflow.initial[0] as string },
    ...textFields(fields),
    custom: mergeCustom('{}', fields.custom ?? {}),
  } as Omit<TicketRow, 'id' | 'row_version'>;
  checkBeginning(workflow, values);
  const { tid, time, result } = await writer.transaction(actor, (tx) => tx.create(ticket, values));
  const row = { ...values, id: BigInt(result.row.id), row_version: 1 };
  return shown(writer, { tid, row, created: time, changed: time }) as Promise<TicketChanged & { tid: number }>;
}

/**
 * Changes fields of a ticket, sets custom ones (null removes one), takes an action of the workflow, comments: any of these in one change.
 * What is given is judged by the state before, of which nobody makes another one meanwhile. Throws `not_found`, `invalid` also for a status
 * that cannot be reached, `forbidden` for an action that the caller may not take, `stale` when the condition does not hold.
 */
export async function patchTicket(
  writer: Writer,
  actor: Actor,
  id: string,
  patch: TicketPatch,
  condition?: Condition,
  options: TicketOptions = {},
): Promise<TicketChanged> {
  const key = ticketId(id);
  const edit = editOf(actor, checkFields(patch), options);
  const by = actorOf(actor, edit);
  const done =
    (writer.open ? undefined : await patchAsRead(writer, by, key, edit, condition)) ??
    (await patchLocked(writer, by, key, edit, condition));
  return shown(writer, done);
}

/** Deletes a ticket and its comments; its history stays. Throws `not_found`, `stale` when the condition does not hold. */
export async function deleteTicket(
  writer: Writer,
  actor: Actor,
  id: string,
  condition?: Condition,
): Promise<{ id: string; tid: number }> {
  const key = ticketId(id);
  const statement = writer.db.deleteFrom('ticket').where('id', '=', key).where(atVersion(condition)).returning('id');
  const { tid, result } = await writer.transaction(actor, (tx) => tx.stage(statement));
  if (result.rowCount > 0 && tid !== null) return { id, tid };
  refuseUnlessHolds((await findRow(writer.database, key))?.row, key, condition);
  throw new KernelError('conflict', 'another change came in between: try again');
}

/** The row after a change, and what is known of its times. */
interface Written {
  readonly tid: number | null;
  readonly row: TicketRow;
  readonly created?: string | undefined;
  readonly changed?: string | undefined;
}

async function shown(writer: Writer, { tid, row, created, changed }: Written): Promise<TicketChanged> {
  if (tid === null) {
    const unchanged = await findTicket(writer.database, row.id);
    if (!unchanged) throw noTicket(row.id);
    return { tid, ticket: unchanged };
  }
  const known = created !== undefined && changed !== undefined;
  const times = known ? { created, changed } : await findTimes(writer.database, row.id, tid);
  return { tid, ticket: ticketOf(row, { ...times, tid }) };
}

/**
 * The usual change: read, then save that version. Two round trips, and lone saves share a commit. Undefined when somebody else has
 * changed the ticket in between.
 */
async function patchAsRead(
  writer: Writer,
  actor: Actor,
  id: bigint,
  edit: Edit,
  condition: Condition | undefined,
): Promise<Written | undefined> {
  const found = await findRow(writer.database, id);
  const before = refuseUnlessHolds(found?.row, id, condition);
  const delta = deltaOf(before, edit);
  if (!delta) return { tid: null, row: before };
  try {
    const { tid, time } = await writer.transaction(actor, (tx) => stageDelta(tx, before, delta));
    const row = { ...before, ...delta.values, row_version: before.row_version + 1 };
    return { tid, row, created: found?.created, changed: time };
  } catch (error) {
    if (error instanceof KernelError && LOST.has(error.code)) return undefined;
    throw error;
  }
}

/** Changed, deleted, or commented on past the ticket. */
const LOST = new Set(['stale', 'not_found', 'conflict']);

/** For a ticket that many change at once, and inside a larger transaction: whoever has the lock is not overtaken. */
async function patchLocked(
  writer: Writer,
  actor: Actor,
  id: bigint,
  edit: Edit,
  condition: Condition | undefined,
): Promise<Written> {
  const { tid, result } = await writer.transaction(actor, async (tx) => {
    const before = refuseUnlessHolds((await lockRows(tx, [id]))[0], id, condition);
    const delta = deltaOf(before, edit);
    if (!delta) return { changed: false, row: before };
    stageDelta(tx, before, delta);
    await tx.flush();
    const row = (await lockRows(tx, [id]))[0] as TicketRow;
    return { changed: row.row_version !== before.row_version, row };
  });
  return { tid: result.changed ? tid : null, row: result.row };
}

function refuseUnlessHolds(row: TicketRow | undefined, id: bigint, condition: Condition | undefined): TicketRow {
  if (!row) throw noTicket(id);
  const tag = versionTag({ id: String(row.id), row_version: row.row_version });
  if (condition && !holds(condition, tag)) throw staleError(condition, `ticket ${id}`, tag);
  return row;
}

const DEFAULTS = {
  ...{ description: '', type: 'defect', resolution: '', priority: 'major', severity: 'normal', component: '' },
  ...{ milestone: '', version_affected: '', owner: '', cc: '', keywords: '', comments: 0 },
};

function checkBeginning({ initial }: Workflow, { status, resolution }: { status: string; resolution: string }): void {
  const errors = [
    ...(initial.includes(status)
      ? []
      : [{ path: 'status', message: `a new ticket can be ${initial.join(' or ')}, not ${JSON.stringify(status)}` }]),
    ...(resolution === '' ? [] : [{ path: 'resolution', message: 'a new ticket has no resolution' }]),
  ];
  refuse(errors);
}
