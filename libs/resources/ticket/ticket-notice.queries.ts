import type { Queryable } from '#libs/database';

/** Everybody who changed a ticket, or a comment on it, before a tid. */
export async function selectUpdaters(db: Queryable, id: string, before: number): Promise<string[]> {
  // in the C collation all ids [7,…] stand between "[7," and "[7-"
  const { rows } = await db.query<{ author: string }>(
    `SELECT author FROM ticket_journal WHERE id = $1 AND tid < $2
     UNION SELECT author FROM ticket_comment_journal WHERE id >= $3 AND id < $4 AND tid < $2
     ORDER BY author`,
    [id, before, `[${id},`, `[${id}-`],
    'tidemark_ticket_updaters',
  );
  return rows.map(({ author }) => author);
}
