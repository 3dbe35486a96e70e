import type { Queryable } from '#libs/database';

/** Makes a user watch the page of a name; false when there is none. Whoever deletes the page at that moment comes before or after. */
export async function insertWatch(db: Queryable, user: string, name: string): Promise<boolean> {
  const { rowCount } = await db.query(
    `WITH page AS MATERIALIZED (SELECT id FROM wiki WHERE name = $2 FOR KEY SHARE)
     INSERT INTO wiki_watch (user_name, page_id) SELECT $1, page.id FROM page
       ON CONFLICT (user_name, page_id) DO UPDATE SET page_deleted = NULL`,
    [user, name],
  );
  return rowCount === 1;
}

/** Ends that a user watches the page of a name; false when the user did not. */
export async function deleteWatch(db: Queryable, user: string, name: string): Promise<boolean> {
  const { rowCount } = await db.query(
    'DELETE FROM wiki_watch WHERE user_name = $1 AND page_id = (SELECT id FROM wiki WHERE name = $2)',
    [user, name],
  );
  return rowCount === 1;
}

/** The names of the pages that a user watches, after a name. */
export async function selectWatched(
  db: Queryable,
  user: string,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(
    `SELECT p.name FROM wiki_watch w JOIN wiki p ON p.id = w.page_id
       WHERE w.user_name = $1 AND p.name > $2 ORDER BY p.name LIMIT $3`,
    [user, after ?? '', limit],
  );
  return rows.map(({ name }) => name);
}

/** Who watches a page, or did so when it was deleted. */
export async function selectWatchers(db: Queryable, pageId: string): Promise<string[]> {
  const { rows } = await db.query<{ user_name: string }>(
    'SELECT user_name FROM wiki_watch WHERE page_id = $1::bigint ORDER BY user_name',
    [pageId],
    'tidemark_wiki_watchers',
  );
  return rows.map(({ user_name }) => user_name);
}
