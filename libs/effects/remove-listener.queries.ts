import type { Queryable } from '#libs/database';

/** The living processes that have a listener, as people name them. */
export async function servingProcesses(db: Queryable, listener: string): Promise<string[]> {
  const { rows } = await db.query<{ process: string }>(
    `SELECT name || ' on ' || host || ' (' || pid || ')' AS process FROM tidemark.processes
       WHERE leased_until > clock_timestamp() AND $1 = ANY (listeners) ORDER BY started`,
    [listener],
  );
  return rows.map(({ process }) => process);
}

/** How many effects of a listener are not done. */
export async function countOpen(db: Queryable, listener: string): Promise<number> {
  const { rows } = await db.query<{ open: number }>(
    `SELECT count(*)::int AS open FROM tidemark.effects WHERE listener = $1 AND state IN ('pending', 'failed', 'parked')`,
    [listener],
  );
  return rows[0]?.open ?? 0;
}
