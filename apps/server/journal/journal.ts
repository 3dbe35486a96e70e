import { RowProjects, type Visibility } from '#libs/access';
import { KernelError } from '#libs/database';
import { after } from '#libs/dispatch';
import {
  type Change,
  decodeCursor,
  encodeCursor,
  frontier,
  type JournalEntry,
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
  /** What the caller may read, as of now: the rest is left out, and passed over. */
  visibility(): Promise<Visibility>;
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

// Nor does it look at more entries than these in search of some that its caller may read.
const MAX_LOOKED_AT = 20_000;
const PAGE = 2_000;

/**
 * Reads the journal up to what is safe; waits for a change when there is none and it is asked to. What the caller may not read is left out;
 * the cursor passes over it, and nobody stops waiting for its sake.
 */
export async function readJournal(kernel: Kernel, request: JournalRequest): Promise<JournalAnswer> {
  let part = await readVisible(kernel, request, request.after);
  if (part.entries.length === 0 && request.wait > 0) {
    const { comes, end } = await changeComes(kernel, request, part.end);
    part = comes ? await readVisible(kernel, request, end) : { entries: [], end };
  }
  const changes = await withOldValues(kernel.database, part.entries, { bytes: MAX_BYTES });
  const last = changes.at(-1);
  const cut = changes.length < part.entries.length && last !== undefined;
  return { changes, cursor: encodeCursor(kernel.epoch, cut ? after(last) : part.end) };
}

export interface TidRequest {
  readonly tid: number;
  readonly limit: number;
  readonly cursor?: string | undefined;
  readonly visibility: Visibility;
}

/** Changes of one tid, and the cursor of those that are left, null when there are none. */
export interface TidAnswer {
  readonly changes: Change[];
  readonly next: string | null;
}

/**
 * Reads the changes of one tid that the caller may read, by resource and id. Throws `not_found` when there are none: one that may not be
 * read is as good as none; `malformed` for a cursor of anything else.
 */
export async function readTid(kernel: Kernel, request: TidRequest): Promise<TidAnswer> {
  const { tid, limit, cursor, visibility } = request;
  let from = cursor === undefined ? { tid: tid - 1 } : await insideOf(kernel, tid, cursor);
  for (;;) {
    // one more than wanted tells whether there are more
    const page = await readPage(kernel.database, { after: from, upto: tid, limit: limit + 1, bytes: MAX_BYTES });
    const entries = page.entries.slice(0, limit);
    const seen = await visibility.visible(kernel.database, entries);
    const changes = await withOldValues(kernel.database, seen, { bytes: MAX_BYTES });
    const cut = changes.length < seen.length;
    const last = cut ? changes.at(-1) : entries.at(-1);
    const next = (page.cut || cut) && last ? after(last) : undefined;
    if (changes.length > 0 || (next === undefined && cursor !== undefined)) {
      return { changes, next: next ? encodeCursor(kernel.epoch, next) : null };
    }
    if (next === undefined) throw new KernelError('not_found', `no change has the tid ${tid}`);
    from = next;
  }
}

async function insideOf(kernel: Kernel, tid: number, cursor: string): Promise<Position> {
  const { head } = await frontier(kernel.database);
  const position = decodeCursor(kernel.epoch, cursor, head);
  if (position.tid === tid && position.resource !== undefined) return position;
  throw new KernelError('malformed', `the cursor is not one of the changes of tid ${tid}`);
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

/** Throws `invalid` for a resource that is not journaled here: nothing would ever come of it. So is one that the caller may not read. */
export async function checkResource(
  kernel: Kernel,
  resource: string | undefined,
  visibility: Visibility,
): Promise<void> {
  if (resource === undefined) return;
  if (visibility.reach(resource) !== 'none') {
    if (kernel.resources.has(resource)) return;
    if (!resource.includes('\0') && (await isJournaled(kernel.database, resource))) return;
  }
  const message = `nothing is journaled as ${JSON.stringify(resource)}`;
  throw new KernelError('invalid', message, { errors: [{ path: 'resource', message }] });
}

async function readVisible(
  { database }: Kernel,
  request: JournalRequest,
  from: Position,
): Promise<{ entries: JournalEntry[]; end: Position }> {
  const { limit, resource } = request;
  const visibility = await request.visibility();
  const { safe } = await frontier(database);
  const kind = resource === undefined ? {} : { resource };
  const entries: JournalEntry[] = [];
  let [end, looked, bytes] = [from, 0, 0];
  for (;;) {
    const size = looked === 0 ? limit : PAGE;
    const page = await readPage(database, { after: end, upto: safe, limit: size, bytes: MAX_BYTES - bytes, ...kind });
    const visible = await visibility.visible(database, page.entries);
    const wanted = visible.slice(0, limit - entries.length);
    entries.push(...wanted);
    const last = wanted.length < visible.length ? wanted.at(-1) : page.cut ? page.entries.at(-1) : undefined;
    if (!last) return { entries, end: end.tid > safe ? end : { tid: safe } };
    end = after(last);
    looked += page.entries.length;
    bytes += page.bytes;
    if (entries.length === limit || looked >= MAX_LOOKED_AT || bytes >= MAX_BYTES) return { entries, end };
  }
}

/** Waits for a change that the caller may read: whether it comes, and the place before it, or after all that has passed. */
async function changeComes(
  kernel: Kernel,
  { resource, wait, signal, visibility }: JournalRequest,
  from: Position,
): Promise<{ comes: boolean; end: Position }> {
  const ending = AbortSignal.any([signal, AbortSignal.timeout(wait * 1000)]);
  const options = { after: from, signal: ending, ...(resource === undefined ? {} : { resource }) };
  const walk = new RowProjects(kernel.resources);
  let end = from;
  try {
    for await (const entries of kernel.dispatcher.follow(options)) {
      const now = await visibility();
      if ((await now.visible(kernel.database, entries, walk)).length > 0) return { comes: true, end };
      end = after(entries.at(-1) as JournalEntry);
    }
  } catch (error) {
    if (!ending.aborted) throw error;
  }
  return { comes: false, end };
}
