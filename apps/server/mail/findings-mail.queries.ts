import type { Queryable } from '#libs/database';
import type { FindingRow } from '#libs/integrity';

/** The findings of one tid that are still open, how many these are, and the number of the first that was entered. */
export async function selectFindingsAt(
  db: Queryable,
  tid: number,
  most: number,
): Promise<{ findings: FindingRow[]; all: number; first: number }> {
  const { rows } = await db.query<FindingRow & { all: number; first: number }>(
    `WITH entered AS (SELECT id::bigint AS id FROM tidemark.journal WHERE resource = 'finding' AND tid = $1)
     SELECT f.*, count(*) OVER ()::int AS all, (SELECT min(id) FROM entered) AS first
       FROM entered e JOIN tidemark.finding f ON f.id = e.id WHERE f.state = 'open' ORDER BY f.id LIMIT $2`,
    [tid, most],
  );
  return { findings: rows, all: rows[0]?.all ?? 0, first: rows[0]?.first ?? 0 };
}

/** How many mails of a listener went out in the last hour, each counted once, whoever got it; not those of a tid. */
export async function countMails(db: Queryable, listener: string, but: number): Promise<number> {
  const { rows } = await db.query<{ mails: number }>(
    `SELECT count(DISTINCT tid)::int AS mails FROM tidemark.mails WHERE listener = $1 AND tid <> $2 AND at > now() - interval '1 hour'`,
    [listener, but],
  );
  return rows[0]?.mails ?? 0;
}

/** The names of the users who are admins everywhere. */
export async function selectAdmins(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(
    `SELECT name FROM tidemark.users WHERE 'admin' = ANY (roles) AND disabled IS NULL ORDER BY name`,
  );
  return rows.map(({ name }) => name);
}
