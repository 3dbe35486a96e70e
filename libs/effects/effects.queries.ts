import type { Queryable } from '#libs/database';
import { utc } from '#libs/journal';
import type { EffectId, Taken } from './effect.ts';

/** A process whose lease has not run out. */
export const LIVING = 'SELECT FROM tidemark.processes p WHERE p.leased_until > now()';

/** The story of an effect `e` with what has just become of its attempt; the latest 50, as somebody may wish for a thousand attempts. */
export function past(what: 'failed' | 'lost' | 'retried', error = 'NULL::text'): string {
  const attempt = what === 'retried' ? ['NULL', 'NULL'] : ['e.ran_by', utc('e.started')];
  return `CASE WHEN jsonb_array_length(e.past) >= 50 THEN e.past - 0 ELSE coalesce(e.past, '[]') END || jsonb_build_object(
           'what', '${what}', 'at', ${utc('now()')}, 'by', ${attempt[0]}, 'started', ${attempt[1]}, 'error', ${error})`;
}

/** Makes the positions of listeners that the database does not know yet. */
export async function addListeners(db: Queryable, listeners: readonly { name: string; tid: number }[]): Promise<void> {
  await db.query(
    `INSERT INTO tidemark.listener_positions (listener, tid) SELECT * FROM unnest($1::text[], $2::bigint[])
       ON CONFLICT (listener) DO NOTHING`,
    [listeners.map(({ name }) => name), listeners.map(({ tid }) => tid)],
  );
}

/** Lets a listener begin after a tid, whatever stands there under its name. */
export async function placeListener(tx: Queryable, name: string, tid: number): Promise<void> {
  await tx.query(
    `INSERT INTO tidemark.listener_positions (listener, tid) VALUES ($1, $2)
       ON CONFLICT (listener) DO UPDATE SET tid = excluded.tid, paused = false, changed = now()`,
    [name, tid],
  );
}

/** Forgets where a listener stands; false when nobody knew. Whoever sweeps for it comes to an end before. */
export async function forgetListener(tx: Queryable, name: string): Promise<boolean> {
  const { rowCount } = await tx.query('DELETE FROM tidemark.listener_positions WHERE listener = $1', [name]);
  return rowCount > 0;
}

/**
 * Takes effects of this process's own changes, entering those that are not there yet. What another has taken, what is done, and what a
 * paused listener is to leave is not among the answers.
 */
export async function takeOwn(
  db: Queryable,
  effects: readonly EffectId[],
  by: { origin: string; lease: string; name: string },
): Promise<Taken[]> {
  const { rows } = await db.query<Taken>(
    `INSERT INTO tidemark.effects AS e (listener, tid, resource, id, origin, holder, fence, attempts, started, ran_by)
       SELECT n.listener, n.tid, n.resource, n.id, $5::uuid, $6::uuid, 1, 1, now(), $7
         FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) n(listener, tid, resource, id)
         WHERE EXISTS (${LIVING} AND p.lease = $6::uuid)
           AND EXISTS (SELECT FROM tidemark.listener_positions l WHERE l.listener = n.listener AND NOT l.paused)
       ON CONFLICT (listener, tid, resource, id) DO UPDATE
         SET holder = excluded.holder, fence = e.fence + 1, attempts = e.attempts + 1, started = now(), ran_by = excluded.ran_by
         WHERE e.state = 'pending' AND e.holder IS NULL AND e.due <= now()
       RETURNING listener, tid, resource, id, fence, attempts, holder::text`,
    [...columnsOf(effects), by.origin, by.lease, by.name],
    'tidemark_effects_take_own',
  );
  return rows;
}

const DUE = `e.state IN ('pending', 'failed') AND e.due <= now()
           AND (e.holder IS NULL OR NOT EXISTS (${LIVING} AND p.lease = e.holder))
           AND (e.attempts > 0 OR e.state = 'failed' OR e.origin IS NULL OR e.origin = $2::uuid OR NOT EXISTS (${LIVING} AND p.origin = e.origin AND e.listener = ANY (p.listeners)))`;

/** Which of some listeners have effects that a process could take now. */
export async function dueListeners(db: Queryable, listeners: readonly string[], origin: string): Promise<string[]> {
  const { rows } = await db.query<{ listener: string }>(
    `SELECT l.listener FROM tidemark.listener_positions l
       WHERE l.listener = ANY ($1) AND NOT l.paused AND EXISTS (SELECT FROM tidemark.effects e WHERE e.listener = l.listener AND ${DUE})`,
    [listeners, origin],
    'tidemark_effects_due',
  );
  return rows.map(({ listener }) => listener);
}

/**
 * Takes effects of one listener that are due: those that failed before, and those whose process is gone or never was one; an effect
 * that a living process holds, or is to begin, is left to it. Two processes never take the same.
 */
export async function takeDue(
  db: Queryable,
  listener: string,
  limit: number,
  by: { origin: string; lease: string; name: string },
): Promise<Taken[]> {
  const { rows } = await db.query<Taken>(
    `WITH due AS MATERIALIZED (
       SELECT e.listener, e.tid, e.resource, e.id FROM tidemark.effects e
         WHERE e.listener = $1 AND ${DUE}
           AND EXISTS (${LIVING} AND p.lease = $4::uuid)
           AND EXISTS (SELECT FROM tidemark.listener_positions l WHERE l.listener = $1 AND NOT l.paused)
         ORDER BY e.due, e.tid LIMIT $3 FOR UPDATE SKIP LOCKED
     )
     UPDATE tidemark.effects e SET holder = $4::uuid, fence = e.fence + 1, attempts = e.attempts + 1, started = now(), ran_by = $5,
         past = CASE WHEN e.holder IS NULL THEN e.past ELSE ${past('lost')} END
       FROM due WHERE (e.listener, e.tid, e.resource, e.id) = (due.listener, due.tid, due.resource, due.id)
       RETURNING e.listener, e.tid, e.resource, e.id, e.fence, e.attempts, e.holder::text`,
    [listener, by.origin, limit, by.lease, by.name],
    'tidemark_effects_take_due',
  );
  return rows.sort((a, b) => a.tid - b.tid);
}

/** Says that effects are done. Returns how many were still this process's to finish. */
export async function finish(db: Queryable, effects: readonly Taken[]): Promise<number> {
  const { rowCount } = await db.query(
    `UPDATE tidemark.effects e SET state = 'done', holder = NULL, finished = now(), last_error = NULL
       FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::int[], $6::uuid[]) n(listener, tid, resource, id, fence, holder)
       WHERE (e.listener, e.tid, e.resource, e.id) = (n.listener, n.tid, n.resource, n.id) AND ${MINE}`,
    taken(effects),
    'tidemark_effects_finish',
  );
  return rowCount;
}

/** Says that effects have failed, and when they are due again; null parks them. Late news changes nothing. */
export async function fail(
  db: Queryable,
  effect: Taken,
  failure: { error: string; pause: number | null },
): Promise<number> {
  const { rowCount } = await db.query(
    `UPDATE tidemark.effects e SET state = CASE WHEN $8::float8 IS NULL THEN 'parked' ELSE 'failed' END, holder = NULL, last_error = $7,
         due = now() + coalesce($8::float8, 0) * interval '1 ms', past = ${past('failed', '$7::text')}
       FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::int[], $6::uuid[]) n(listener, tid, resource, id, fence, holder)
       WHERE (e.listener, e.tid, e.resource, e.id) = (n.listener, n.tid, n.resource, n.id) AND ${MINE}`,
    [...taken([effect]), failure.error, failure.pause],
    'tidemark_effects_fail',
  );
  return rowCount;
}

/** Gives back effects that were taken and not begun: as if nobody had taken them. */
export async function giveBack(db: Queryable, effects: readonly Taken[]): Promise<void> {
  await db.query(
    `UPDATE tidemark.effects e SET holder = NULL, attempts = e.attempts - 1, started = NULL, ran_by = NULL
       FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::int[], $6::uuid[]) n(listener, tid, resource, id, fence, holder)
       WHERE (e.listener, e.tid, e.resource, e.id) = (n.listener, n.tid, n.resource, n.id) AND ${MINE}`,
    taken(effects),
  );
}

const MINE = `e.holder = n.holder AND e.fence = n.fence AND e.state IN ('pending', 'failed')`;

export interface PositionRow {
  readonly listener: string;
  readonly tid: number;
}

/** The positions of listeners that lie before a tid, held until the end of the transaction; those that another process holds are left out. */
export async function lockPositions(
  tx: Queryable,
  listeners: readonly string[],
  before: number,
): Promise<PositionRow[]> {
  const { rows } = await tx.query<PositionRow>(
    `SELECT listener, tid FROM tidemark.listener_positions WHERE listener = ANY ($1) AND tid < $2
       ORDER BY listener FOR NO KEY UPDATE SKIP LOCKED`,
    [listeners, before],
    'tidemark_effects_lock_positions',
  );
  return rows;
}

/** Enters effects that are not in the ledger yet, for the processes that made the changes, or whoever comes first where there is none. */
export async function enter(
  tx: Queryable,
  effects: readonly (EffectId & { readonly origin: string | null })[],
): Promise<void> {
  if (effects.length === 0) return;
  await tx.query(
    `INSERT INTO tidemark.effects (listener, tid, resource, id, origin)
       SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::uuid[])
       ON CONFLICT (listener, tid, resource, id) DO NOTHING`,
    [...columnsOf(effects), effects.map(({ origin }) => origin)],
    'tidemark_effects_enter',
  );
}

/** Moves listeners on. */
export async function advance(tx: Queryable, listeners: readonly string[], tid: number): Promise<void> {
  await tx.query(
    'UPDATE tidemark.listener_positions SET tid = $2, changed = now() WHERE listener = ANY ($1) AND tid < $2',
    [listeners, tid],
    'tidemark_effects_advance',
  );
}

/** Deletes some finished effects that are older than some days and that every position has passed; returns how many. */
export async function pruneEffects(db: Queryable, days: number, limit: number): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM tidemark.effects e USING (
       SELECT o.listener, o.tid, o.resource, o.id FROM tidemark.effects o
         WHERE o.state IN ('done', 'discarded') AND o.finished < now() - $1 * interval '1 day'
           AND o.tid <= (SELECT coalesce(min(l.tid), 0) FROM tidemark.listener_positions l)
         ORDER BY o.finished LIMIT $2 FOR UPDATE SKIP LOCKED
     ) old WHERE (e.listener, e.tid, e.resource, e.id) = (old.listener, old.tid, old.resource, old.id)`,
    [days, limit],
  );
  return rowCount;
}

function columnsOf(effects: readonly EffectId[]): unknown[][] {
  return [
    effects.map(({ listener }) => listener),
    effects.map(({ tid }) => tid),
    effects.map(({ resource }) => resource),
    effects.map(({ id }) => id),
  ];
}

function taken(effects: readonly Taken[]): unknown[][] {
  return [...columnsOf(effects), effects.map(({ fence }) => fence), effects.map(({ holder }) => holder)];
}
