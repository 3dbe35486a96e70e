import type { Queryable } from '#libs/database';
import { deleteWatch, insertWatch, selectWatched } from './page-watch.queries.ts';
import { findPageRow } from './wiki.queries.ts';
import { checkName, noPage } from './wiki.ts';

/** A page, and whether somebody watches it. */
export interface PageWatch {
  readonly name: string;
  readonly watching: boolean;
}

/** Has a user told of the changes of a page from now on, whatever it is renamed to; again does no harm. Throws `not_found`. */
export async function watchPage(db: Queryable, user: string, name: string): Promise<PageWatch> {
  checkName(name);
  if (!(await insertWatch(db, user, name))) throw noPage(name);
  return { name, watching: true };
}

/** Has a user not told any more; one that does not watch the page, too. Throws `not_found`. */
export async function unwatchPage(db: Queryable, user: string, name: string): Promise<PageWatch> {
  checkName(name);
  if (!(await deleteWatch(db, user, name)) && !(await findPageRow(db, name))) throw noPage(name);
  return { name, watching: false };
}

/** The names of the pages that a user watches, in byte order, after a name. */
export function listWatchedPages(
  db: Queryable,
  user: string,
  range: { after?: string | undefined; limit: number },
): Promise<string[]> {
  return selectWatched(db, user, range);
}
