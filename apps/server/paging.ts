import type { Visibility } from '#libs/access';
import { KernelError } from '#libs/database';
import { after } from '#libs/dispatch';
import { type CausedBy, withCauses } from '#libs/effects';
import { type Change, decodeCursor, encodeCursor, frontier, type Position } from '#libs/journal';
import type { Kernel } from '#libs/kernel';

/** A page of a list: `next` is the cursor of the next one, null at the end. */
export interface ListPage<T> {
  readonly items: T[];
  readonly next: string | null;
}

/** A page of at most `limit` out of one item more, which tells whether there is a next page. */
export function pageOf<T>(found: readonly T[], limit: number, cursorAfter: (item: T) => string): ListPage<T> {
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, next: found.length > limit && last !== undefined ? cursorAfter(last) : null };
}

/** A cursor into a list of names. */
export function encodeNameCursor(epoch: string, name: string): string {
  return Buffer.from(JSON.stringify([epoch, name])).toString('base64url');
}

/** The name of a cursor; throws `malformed` for garbage and for a cursor of another database. */
export function decodeNameCursor(epoch: string, cursor: string): string {
  const [from, name] = parts(cursor);
  if (typeof from !== 'string' || typeof name !== 'string' || encodeNameCursor(from, name) !== cursor) {
    throw new KernelError('malformed', 'the cursor is not one that this program gave out');
  }
  if (from !== epoch) throw new KernelError('malformed', 'the cursor belongs to another database');
  return name;
}

/** The text of a number of at most so many digits in a cursor; throws `malformed` for any other cursor. */
export function decodeNumberCursor(epoch: string, cursor: string, digits: number): string {
  const number = decodeNameCursor(epoch, cursor);
  if (/^\d+$/.test(number) && number.length <= digits) return number;
  throw new KernelError('malformed', 'the cursor is one of another list');
}

// Versions of a wiki page may have 5 MB each: an answer ends early once it has so many characters.
const FIRST_SLICE = 10;
const MAX_CHARACTERS = 16 * 1024 * 1024;

/**
 * A page of changes, newest first, each with the chain of what has caused it; of large ones fewer than `limit`. `read` gives those
 * before a place, newest first. With a visibility, those that the caller may not read are left out: rows that belong to a project now may
 * have belonged to another one.
 */
export async function historyPage<T extends Change>(
  kernel: Kernel,
  limit: number,
  cursor: string | undefined,
  read: (options: { before?: Position; limit: number }) => Promise<T[]>,
  visibility?: Visibility,
): Promise<ListPage<T & { causes: CausedBy[] }>> {
  const items: T[] = [];
  let before = cursor === undefined ? undefined : await decodePlace(kernel, cursor);
  let characters = 0;
  for (let size = FIRST_SLICE; characters < MAX_CHARACTERS; size *= 2) {
    const wanted = Math.min(size, limit - items.length);
    const found = await read({ ...(before === undefined ? {} : { before }), limit: wanted + 1 });
    const page = found.slice(0, wanted);
    items.push(...(visibility ? await visibility.visible(kernel.database, page) : page));
    if (found.length <= wanted) return { items: await withCauses(kernel.database, items), next: null };
    before = after(page.at(-1) as T);
    characters += found.reduce((sum, change) => sum + charactersOf(change), 0);
    if (items.length === limit) break;
  }
  return { items: await withCauses(kernel.database, items), next: encodeCursor(kernel.epoch, before as Position) };
}

function charactersOf({ fields }: Change): number {
  return Object.values(fields)
    .flatMap(({ old, new: now }) => [old, now])
    .reduce((sum: number, value) => sum + (typeof value === 'string' ? value.length : 0), 0);
}

async function decodePlace(kernel: Kernel, cursor: string): Promise<Position> {
  const { head } = await frontier(kernel.database);
  return decodeCursor(kernel.epoch, cursor, head);
}

function parts(cursor: string): unknown[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    return Array.isArray(value) && value.length === 2 ? value : [];
  } catch {
    return [];
  }
}
