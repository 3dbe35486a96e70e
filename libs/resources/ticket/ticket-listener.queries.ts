import type { Queryable } from '#libs/database';

/** Whether a ticket was deleted in a transaction, which takes its comments with it. */
export async function wentWithTicket(db: Queryable, id: string, txn: number): Promise<boolean> {
  const { rowCount } = await db.query(
    `SELECT FROM ticket_journal WHERE id = $1 AND txn = $2 AND change = 'DELETE' LIMIT 1`,
    [id, txn],
    'tidemark_ticket_went',
  );
  return rowCount > 0;
}
