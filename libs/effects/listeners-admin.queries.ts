import { KernelError, type Queryable } from '#libs/database';
import { frontier } from '#libs/journal';

/** How a listener with effects stands. */
export interface ListenerRow {
  readonly listener: string;
  readonly paused: boolean;
  /** Up to this tid all its effects are entered. */
  readonly position: number;
  /** Changes after the position, counted up to a limit, and the milliseconds since the oldest of them. */
  readonly lag_rows: number;
  readonly lag_ms: number;
  /** Effects that are not done, counted up to a limit: those never tried and those that have failed together. */
  readonly pending: number;
  readonly failed: number;
  readonly parked: number;
  /** Those that are done among its latest 1,000 effects. */
  readonly done: number;
  /** How long the oldest effect that is due has been waiting, in milliseconds. */
  readonly waiting_ms: number;
  readonly last_error: string | null;
  /** Living processes that run it. */
  readonly processes: number;
}

/** What is counted is counted up to here, however much there is: a look must stay cheap when there is most to see. */
export const COUNTED = 10_000;
/** What is done says little, and there is the most of it. */
export const LATEST = 1_000;

/** All listeners with effects that the database knows, by name. Reads at most COUNTED rows of each kind for each, by index. */
export async function listListeners(db: Queryable): Promise<ListenerRow[]> {
  const { rows } = await db.query<ListenerRow>(
    `SELECT l.listener, l.paused, l.tid AS position,
         (SELECT count(*)::int FROM (SELECT FROM tidemark.journal j WHERE j.tid > l.tid LIMIT $1) j) AS lag_rows,
         coalesce((SELECT greatest(0, round(extract(epoch FROM clock_timestamp() - j.time) * 1000))::float8
           FROM tidemark.journal j WHERE j.tid > l.tid ORDER BY j.tid LIMIT 1), 0) AS lag_ms,
         open.pending, open.failed,
         (SELECT count(*)::int FROM (
           SELECT FROM tidemark.effects e WHERE e.listener = l.listener AND e.state = 'parked' LIMIT $1) e) AS parked,
         (SELECT (count(*) FILTER (WHERE e.state = 'done'))::int FROM (
           SELECT e.state FROM tidemark.effects e WHERE e.listener = l.listener ORDER BY e.tid DESC LIMIT $2) e) AS done,
         coalesce((SELECT round(extract(epoch FROM now() - e.due) * 1000)::float8 FROM tidemark.effects e
           WHERE e.listener = l.listener AND e.state IN ('pending', 'failed') AND e.due < now() ORDER BY e.due LIMIT 1), 0) AS waiting_ms,
         coalesce(
           (SELECT e.last_error FROM tidemark.effects e WHERE e.listener = l.listener AND e.state = 'parked' ORDER BY e.tid DESC LIMIT 1),
           (SELECT e.last_error FROM (SELECT e.due, e.last_error FROM tidemark.effects e
             WHERE e.listener = l.listener AND e.state IN ('pending', 'failed') ORDER BY e.due DESC LIMIT 100) e
             WHERE e.last_error IS NOT NULL ORDER BY e.due DESC LIMIT 1)) AS last_error,
         (SELECT count(*)::int FROM tidemark.processes p WHERE p.leased_until > now() AND l.listener = ANY (p.listeners)) AS processes
       FROM tidemark.listener_positions l
       CROSS JOIN LATERAL (
         SELECT (count(*) FILTER (WHERE e.state = 'pending'))::int AS pending, (count(*) FILTER (WHERE e.state = 'failed'))::int AS failed
           FROM (SELECT e.state FROM tidemark.effects e WHERE e.listener = l.listener AND e.state IN ('pending', 'failed') LIMIT $1) e
       ) open
       ORDER BY l.listener`,
    [COUNTED, LATEST],
  );
  return rows;
}

/** Begins nothing of a listener any more, in any process, or goes on. What runs comes to its end. Throws `not_found`. */
export async function pauseListener(db: Queryable, listener: string, paused: boolean): Promise<void> {
  const { rowCount } = await db.query(
    'UPDATE tidemark.listener_positions SET paused = $2, changed = now() WHERE listener = $1',
    [listener, paused],
  );
  if (rowCount === 0) throw unknownListener(listener);
}

/**
 * Sets the position of a listener: forward leaves out the changes in between that have no effect yet, backward enters those that have none;
 * what is in the ledger already is never repeated. Returns where it was. Throws `not_found`; `invalid` for a tid beyond the journal.
 */
export async function resetListener(
  db: Queryable,
  listener: string,
  to: 'head' | 'beginning' | number,
): Promise<{ from: number; to: number }> {
  const { safe } = await frontier(db);
  const tid = to === 'head' ? safe : to === 'beginning' ? 0 : to;
  if (tid > safe) throw new KernelError('invalid', `tid ${tid} lies beyond what is safe to read, ${safe}`);
  const { rows } = await db.query<{ before: number }>(
    `WITH before AS (SELECT tid FROM tidemark.listener_positions WHERE listener = $1 FOR UPDATE)
     UPDATE tidemark.listener_positions l SET tid = $2, changed = now() FROM before WHERE l.listener = $1 RETURNING before.tid AS before`,
    [listener, tid],
  );
  if (!rows[0]) throw unknownListener(listener);
  return { from: rows[0].before, to: tid };
}

export function unknownListener(listener: string): KernelError {
  return new KernelError('not_found', `no listener with effects is called ${JSON.stringify(listener)}`);
}
