import { KernelError } from '#libs/database';
import type { Position } from './entry.ts';

/**
 * A position as the outside sees it: opaque text that names the database's epoch too, so that a cursor of another database, or one
 * that is ahead of a restored one, is refused instead of skipping changes.
 */
export function encodeCursor(epoch: string, position: Position): string {
  const inside = position.resource === undefined ? [] : [position.resource, position.id];
  return Buffer.from(JSON.stringify([epoch, position.tid, ...inside])).toString('base64url');
}

/** The position of a cursor; KernelError `malformed` when it is garbage, of another database, or ahead of head. */
export function decodeCursor(epoch: string, cursor: string, head: number): Position {
  const [from, tid, resource, id] = parts(cursor);
  if (from !== epoch) {
    throw refusal('the cursor belongs to another database: read again from the beginning');
  }
  if (tid > head) {
    throw refusal(
      `the cursor is ahead of the journal (${tid} > ${head}): the database was restored to an earlier state, read again from the beginning`,
    );
  }
  return resource === undefined || id === undefined ? { tid } : { tid, resource, id };
}

function parts(cursor: string): [string, number, string?, string?] {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (Array.isArray(value) && (value.length === 2 || value.length === 4)) {
      const [epoch, tid, ...inside] = value as unknown[];
      const texts = [epoch, ...inside].every((part) => typeof part === 'string' && !part.includes('\0'));
      if (texts && Number.isSafeInteger(tid) && (tid as number) >= 0)
        return value as [string, number, string?, string?];
    }
  } catch {
    // not JSON: refused below like any other garbage
  }
  throw refusal('the cursor is not one that this program gave out');
}

/** By the path a program knows that no other part of its request is at fault, and that it has to begin again. */
function refusal(message: string): KernelError {
  return new KernelError('malformed', message, { errors: [{ path: 'cursor', message }] });
}
