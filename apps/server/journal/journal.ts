import { KernelError } from '#libs/database';
import {
  type Change,
  decodeCursor,
  encodeCursor,
  frontier,
  type JournalPage,
  type Position,
  readPage,
  withOldValues,
} from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import { isJournaled } from './journal.queries.ts';

export interface JournalRequest {
  readonly after: Position;
  readonly limit: number;
  readonly resource?: string | undefined;
  /** Seconds to wait for a change when there is none. */
  readonly wait: number;
  /** Ends the waiting. */
  readonly signal: AbortSignal;
}

/** Changes after a cursor, and the cursor after them. */
export interface JournalAnswer {
  readonly changes: Change[];
  readonly cursor: string;
}

// An answer is cut at so many bytes of new values, however high its limit is: pages of a wiki may have 5 MB each.
const MAX_BYTES = 8 * 1024 * 1024;

/** Reads the journal up to what is safe; waits for a change when there is none and it is asked to. */
export async function readJournal(kernel: Kernel, request: JournalRequest): Promise<JournalAnswer> {
  let { page, end } = await readSafe(kernel, request, request.after);
  if (page.entries.length === 0 && request.wait > 0 && (await changeComes(kernel, request, end))) {
    ({ page, end } = await readSafe(kernel, request, end));
  }
  return {
    changes: await withOldValues(kernel.database, page.entries),
    cursor: encodeCursor(kernel.epoch, end),
  };
}

/**
 * Where to begin: at a cursor, at `now` (nothing before the safe tid), or at the beginning. Throws `malformed` for garbage, for a
 * cursor of another database and for one ahead of the journal.
 */
export async function positionOf(kernel: Kernel, cursor: string | undefined): Promise<Position> {
  if (cursor === undefined) return { tid: 0 };
  const { head, safe } = await frontier(kernel.database);
  return cursor === 'now' ? { tid: safe } : decodeCursor(kernel.epoch, cursor, head);
}

/** Throws `invalid` for a resource that is not journaled here: nothing would ever come of it. */
export async function checkResource(kernel: Kernel, resource: string | undefined): Promise<void> {
  if (resource === undefined || kernel.resources.has(resource)) return;
  if (!resource.includes('\0') && (await isJournaled(kernel.database, resource))) return;
  const message = `nothing is journaled as ${JSON.stringify(resource)}`;
  throw new KernelError('invalid', message, { errors: [{ path: 'resource', message }] });
}

async function readSafe(
  kernel: Kernel,
  { limit, resource }: JournalRequest,
  after: Position,
): Promise<{ page: JournalPage; end: Position }> {
  const { safe } = await frontier(kernel.database);
  const page = await readPage(kernel.database, {
    ...{ after, upto: safe, limit, bytes: MAX_BYTES },
    ...(resource === undefined ? {} : { resource }),
  });
  const last = page.entries.at(-1);
  if (page.cut && last) return { page, end: { tid: last.tid, resource: last.resource, id: last.id } };
  return { page, end: after.tid > safe ? after : { tid: safe } };
}

async function changeComes(
  kernel: Kernel,
  { resource, wait, signal }: JournalRequest,
  after: Position,
): Promise<boolean> {
  const ending = AbortSignal.any([signal, AbortSignal.timeout(wait * 1000)]);
  const options = { after, signal: ending, ...(resource === undefined ? {} : { resource }) };
  try {
    for await (const entries of kernel.dispatcher.follow(options)) if (entries.length > 0) return true;
  } catch (error) {
    if (!ending.aborted) throw error;
  }
  return false;
}
