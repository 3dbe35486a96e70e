import type { Queryable } from '#libs/database';

/** What a tail has still to read: rows, counted up to a limit, and the age of the oldest of them in seconds. */
export async function backlog(db: Queryable, tid: number, limit: number): Promise<{ rows: number; seconds: number }> {
  const { rows } = await db.query<{ rows: string; seconds: number }>(
    `SELECT count(*)::text AS rows, coalesce(greatest(0, extract(epoch FROM clock_timestamp() - min(time))), 0)::float8 AS seconds
       FROM (SELECT time FROM tidemark.journal WHERE tid > $1 ORDER BY tid LIMIT $2) AS unread`,
    [tid, limit],
  );
  const found = rows[0] as { rows: string; seconds: number };
  return { rows: Number(found.rows), seconds: found.seconds };
}
