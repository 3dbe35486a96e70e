import { sql } from 'kysely';
import { KernelError, translate } from '#libs/database';
import type { Actor, ModelTransaction, Writer } from '#libs/journal';
import { type FieldError, refuse } from '../refuse.ts';
import { parseRowId } from '../row-id.ts';
import { lockRows } from './ticket.queries.ts';
import type { TicketRow } from './ticket.ts';
import {
  actorOf,
  type Delta,
  deltaOf,
  type Edit,
  editOf,
  type TicketOptions,
  type TicketPatch,
} from './ticket-edit.ts';
import { checkFields } from './ticket-fields.ts';

export const MAX_BATCH = 500;

export interface TicketBatch {
  readonly ids: readonly string[];
  /** As in a change of one ticket, with custom and action. */
  readonly set: Omit<TicketPatch, 'comment'>;
  readonly comment?: string | undefined;
}

/** The tid of all changes, null when there was none; which tickets changed and which were so already. */
export interface BatchChanged {
  readonly tid: number | null;
  readonly changed: readonly string[];
  readonly unchanged: readonly string[];
}

const ATTEMPTS = 3;

/**
 * Changes many tickets alike, and comments on each: all or none, under one tid, however different they were before. Throws `invalid`
 * that names each id that is unknown or repeated, and each ticket with which the workflow does not allow the change.
 */
export async function batchTickets(
  writer: Writer,
  actor: Actor,
  { ids, set, comment }: TicketBatch,
  options: TicketOptions = {},
): Promise<BatchChanged> {
  const keys = checkIds(ids);
  const edit = editOf(actor, { ...checkFields(set, 'set.'), ...checkFields({ comment }) }, options);
  for (let attempt = 1; ; attempt++) {
    try {
      const { tid, result: changed } = await writer.transaction(actorOf(actor, edit), (tx) =>
        changeAll(writer.db, tx, keys, edit),
      );
      const unchanged = ids.filter((id) => !changed.has(id));
      return { tid: changed.size > 0 ? tid : null, changed: ids.filter((id) => changed.has(id)), unchanged };
    } catch (error) {
      // Rows are locked in one order here; SQL from elsewhere may have locked them in another.
      const known = translate(error);
      const again = known instanceof KernelError && known.code === 'conflict' && !writer.open && attempt < ATTEMPTS;
      if (!again) throw error;
    }
  }
}

async function changeAll(
  db: Writer['db'],
  tx: ModelTransaction,
  keys: readonly bigint[],
  edit: Edit,
): Promise<ReadonlySet<string>> {
  const found = new Map((await lockRows(tx, keys)).map((row) => [row.id, row]));
  refuse(keys.flatMap((id, n) => (found.has(id) ? [] : [{ path: `ids.${n}`, message: `there is no ticket ${id}` }])));
  const changes = deltasOf(
    keys.map((id) => found.get(id) as TicketRow),
    edit,
  );
  if (changes.length > 0) stageAll(db, tx, changes);
  await tx.flush();
  return new Set(changes.map(({ before }) => String(before.id)));
}

interface RowDelta extends Delta {
  readonly before: TicketRow;
}

function deltasOf(rows: readonly TicketRow[], edit: Edit): RowDelta[] {
  const errors: FieldError[] = [];
  const changes = rows.flatMap((before, n) => {
    try {
      const delta = deltaOf(before, edit);
      return delta ? [{ ...delta, before }] : [];
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== 'invalid') throw error;
      errors.push({ path: `ids.${n}`, message: `ticket ${before.id}: ${error.message}` });
      return [];
    }
  });
  refuse(errors);
  return changes;
}

/**
 * One flush, whatever the number of tickets: two plain INSERTs share a statement and so a tid. The tickets are locked, so each meets
 * its row and changes it; the first is an UPDATE with values of its own for each row.
 */
function stageAll(db: Writer['db'], tx: ModelTransaction, changes: readonly RowDelta[]): void {
  const columns = [...new Set(changes.flatMap(({ values }) => Object.keys(values)))] as (keyof TicketRow)[];
  const rows = changes.map(({ before, values }) => ({
    ...{ id: before.id, summary: before.summary },
    ...Object.fromEntries(columns.map((column) => [column, values[column] ?? before[column]])),
  }));
  const update = Object.fromEntries(columns.map((column) => [column, sql.ref(`excluded.${column}`)]));
  tx.stage(
    db
      .insertInto('ticket')
      .values(rows)
      .onConflict((conflict) => conflict.column('id').doUpdateSet(update)),
  );
  const comments = changes.flatMap(({ before, values, comment }) =>
    comment === undefined ? [] : [{ ticket_id: before.id, number: values.comments, text: comment }],
  );
  if (comments.length > 0) tx.stage(db.insertInto('ticket_comment').values(comments));
}

function checkIds(ids: readonly string[]): bigint[] {
  if (ids.length === 0 || ids.length > MAX_BATCH) {
    refuse([{ path: 'ids', message: `give 1 to ${MAX_BATCH} ids, not ${ids.length}` }]);
  }
  const keys = ids.map(parseRowId);
  refuse(
    ids.flatMap((id, n) => {
      if (keys[n] === undefined) return [{ path: `ids.${n}`, message: `there is no ticket ${id.slice(0, 100)}` }];
      return ids.indexOf(id) === n ? [] : [{ path: `ids.${n}`, message: `ticket ${id} is given twice` }];
    }),
  );
  return keys as bigint[];
}
