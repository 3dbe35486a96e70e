import type { Queryable } from '#libs/database';
import { type Change, type JournalPage, type Position, readPage } from '#libs/journal';

const LARGEST = { entries: 2_000, bytes: 8 * 1024 * 1024 };

/**
 * Reads the journal in pages of bounded size. The database cuts a page at so many bytes; the number of rows asked for follows
 * their size, so that it does not put together much more than it sends.
 */
export class PageReader {
  readonly #db: Queryable;
  readonly #resource: { resource?: string };
  readonly #largest: typeof LARGEST;
  #limit = 100;

  constructor(db: Queryable, resource?: string, largest = LARGEST) {
    this.#db = db;
    this.#resource = resource === undefined ? {} : { resource };
    this.#largest = largest;
  }

  async read(after: Position, upto = Number.MAX_SAFE_INTEGER): Promise<JournalPage> {
    const limit = this.#limit;
    const { entries: most, bytes } = this.#largest;
    const page = await readPage(this.#db, { after, upto, limit, bytes, ...this.#resource });
    const fitting = Math.ceil((bytes * page.entries.length) / Math.max(page.bytes, 1));
    if (page.entries.length > 0) this.#limit = Math.max(1, Math.min(most, limit * 2, fitting));
    return page;
  }
}

/** The position after one entry or change, inside its tid. */
export function after({ tid, resource, id }: Pick<Change, 'tid' | 'resource' | 'id'>): Position {
  return { tid, resource, id };
}

/** The highest tid that a position has wholly passed. */
export function wholeTid(position: Position): number {
  return position.resource === undefined ? position.tid : position.tid - 1;
}
