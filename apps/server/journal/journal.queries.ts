import type { Queryable } from '#libs/database';

/** Whether any table of the database is journaled under a name, known to this process or not. */
export async function isJournaled(db: Queryable, resource: string): Promise<boolean> {
  const { rows } = await db.query('SELECT FROM tidemark.resources WHERE resource = $1', [resource]);
  return rows.length > 0;
}
