import { KernelError, type Queryable } from '#libs/database';
import { utc } from '#libs/journal';
import { type EffectId, effectKey, parseEffectKey } from './effect.ts';
import { LIVING, past } from './effects.queries.ts';

export const EFFECT_STATES = ['pending', 'failed', 'parked', 'done', 'discarded'] as const;
export type EffectState = (typeof EFFECT_STATES)[number];

/** One effect as operators see it. Times are RFC 3339 in UTC. */
export interface EffectRow extends EffectId {
  readonly key: string;
  readonly state: EffectState;
  /** Whether a living process has it. */
  readonly running: boolean;
  readonly attempts: number;
  /** When it is to be tried again; null for what is not. */
  readonly due: string | null;
  /** The process of the last attempt. */
  readonly ran_by: string | null;
  readonly last_error: string | null;
  /** The process that made the change. */
  readonly origin: string | null;
  readonly created: string;
  readonly started: string | null;
  readonly finished: string | null;
}

/** What became of an attempt that did not bring the effect about, or that somebody had it tried again. */
export interface PastAttempt {
  /** `lost`: its process was not heard of again within its lease, and another one has taken the effect. */
  readonly what: 'failed' | 'lost' | 'retried';
  readonly at: string;
  readonly by: string | null;
  readonly started: string | null;
  readonly error: string | null;
}

/** One effect with all that is known of it. */
export interface EffectStory extends EffectRow {
  /** The attempts before the last one, the first one first; the latest 50. */
  readonly past: readonly PastAttempt[];
  /** Who made the change, when, and in which process while that lives. */
  readonly author: string | null;
  readonly time: string | null;
  readonly made_by: string | null;
}

/** Which effects: those that all of it is true of. */
export interface EffectFilter {
  readonly listener?: string | undefined;
  readonly state?: EffectState | undefined;
  /** Only effects entered so many seconds ago or longer. */
  readonly olderThan?: number | undefined;
  readonly tid?: number | undefined;
  readonly resource?: string | undefined;
  readonly id?: string | undefined;
}

const COLUMNS = `e.listener, e.tid, e.resource, e.id, e.state, e.attempts, e.ran_by, e.last_error, e.origin::text,
  CASE WHEN e.state IN ('pending', 'failed') THEN ${utc('e.due')} END AS due, ${utc('e.created')} AS created,
  ${utc('e.started')} AS started, ${utc('e.finished')} AS finished,
  e.state IN ('pending', 'failed') AND EXISTS (${LIVING} AND p.lease = e.holder) AS running`;

const MATCHES = `($1::text IS NULL OR e.listener = $1) AND ($2::text IS NULL OR e.state = $2)
  AND ($3::float8 IS NULL OR e.created <= now() - $3 * interval '1 s')
  AND ($4::bigint IS NULL OR e.tid = $4) AND ($5::text IS NULL OR e.resource = $5) AND ($6::text IS NULL OR e.id = $6)`;

/** Effects, those of the latest changes first, after one of them. Reads so many of each listener at most, by index. */
export async function listEffects(
  db: Queryable,
  { after, limit, ...filter }: EffectFilter & { after?: EffectId | undefined; limit: number },
): Promise<EffectRow[]> {
  const { rows } = await db.query<Omit<EffectRow, 'key'>>(
    `WITH RECURSIVE named AS (
       SELECT min(listener) AS listener FROM tidemark.effects
       UNION ALL
       SELECT (SELECT min(e.listener) FROM tidemark.effects e WHERE e.listener > n.listener) FROM named n WHERE n.listener IS NOT NULL
     )
     SELECT ${COLUMNS} FROM named n CROSS JOIN LATERAL (
       SELECT * FROM tidemark.effects e
         WHERE e.listener = n.listener AND ${MATCHES}
           AND ($7::bigint IS NULL OR (e.tid, e.resource, e.id, e.listener) < ($7, $8, $9, $10))
         ORDER BY e.tid DESC, e.resource DESC, e.id DESC LIMIT $11
     ) e
     ORDER BY e.tid DESC, e.resource DESC, e.id DESC, e.listener DESC LIMIT $11`,
    [
      ...chosen(filter),
      ...[after?.tid ?? null, after?.resource ?? null, after?.id ?? null, after?.listener ?? null, limit],
    ],
  );
  return rows.map(withKey);
}

/** All that is known of one effect. Throws `invalid` for what is no key, `not_found` where there is none. */
export async function findEffect(db: Queryable, key: string): Promise<EffectStory> {
  const { listener, tid, resource, id } = parsed(key);
  const { rows } = await db.query<Omit<EffectStory, 'key'>>(
    `SELECT ${COLUMNS}, coalesce(e.past, '[]') AS past, j.author, ${utc('j.time')} AS time,
         (SELECT p.name || ' on ' || p.host || ' (' || p.pid || ')' FROM tidemark.processes p WHERE p.origin = e.origin) AS made_by
       FROM tidemark.effects e LEFT JOIN tidemark.journal j ON (j.resource, j.tid, j.id) = (e.resource, e.tid, e.id)
       WHERE (e.listener, e.tid, e.resource, e.id) = ($1, $2, $3, $4)`,
    [listener, tid, resource, id],
  );
  if (!rows[0]) throw new KernelError('not_found', `there is no effect ${key}`);
  return withKey(rows[0]);
}

/**
 * Lets parked and failed effects be tried again now, as if for the first time: one by its key, or all that match. Returns how many. One that
 * a living process is about is left to it.
 */
export async function retryEffects(db: Queryable, which: string | EffectFilter): Promise<number> {
  const { rowCount } = await db.query(
    `UPDATE tidemark.effects e SET state = 'failed', due = now(), attempts = 0, holder = NULL, past = ${past('retried')}
       WHERE ${MATCHES} AND e.state IN ('parked', 'failed') AND NOT EXISTS (${LIVING} AND p.lease = e.holder)`,
    chosen(which),
  );
  return rowCount;
}

/** Gives up effects that are not done: one by its key, or all that match. Returns how many. What is running comes to its end in vain. */
export async function discardEffects(db: Queryable, which: string | EffectFilter): Promise<number> {
  const { rowCount } = await db.query(
    `UPDATE tidemark.effects e SET state = 'discarded', holder = NULL, finished = now()
       WHERE ${MATCHES} AND e.state IN ('pending', 'failed', 'parked')`,
    chosen(which),
  );
  return rowCount;
}

/** What an operator wants of effects, and to which: of one by its key, or of all that match. */
export interface EffectChange {
  readonly key?: string | undefined;
  readonly filter: EffectFilter;
}

/**
 * Has effects tried again (`retry`) or given up (`discard`), and returns how many. Throws `invalid` for what is no key and where nothing is chosen: never
 * all there is by mistake; `not_found` for a key that there is not, `conflict` for an effect that is done or that a process is about.
 */
export async function changeEffects(
  db: Queryable,
  change: 'retry' | 'discard',
  { key, filter }: EffectChange,
): Promise<number> {
  const chooses = Object.values(filter).some((value) => value !== undefined);
  if ((key === undefined) !== chooses) {
    throw new KernelError('invalid', 'name either one effect by its key, or some by listener, state, age or change');
  }
  const one = key === undefined ? undefined : await findEffect(db, key);
  const effects = await (change === 'retry' ? retryEffects : discardEffects)(db, key ?? filter);
  if (effects > 0 || one === undefined) return effects;
  const why = one.running
    ? 'a process is about it'
    : one.state === 'pending'
      ? 'it waits for its turn'
      : `it is ${one.state}`;
  throw new KernelError('conflict', `${key} cannot be ${change === 'retry' ? 'tried again' : 'given up'}: ${why}`);
}

function chosen(which: string | EffectFilter): unknown[] {
  const { listener, state, olderThan, tid, resource, id }: EffectFilter =
    typeof which === 'string' ? parsed(which) : which;
  return [listener, state, olderThan, tid, resource, id].map((value) => value ?? null);
}

function withKey<T extends EffectId>(row: T): T & { key: string } {
  return { key: effectKey(row), ...row };
}

function parsed(key: string): EffectId {
  const id = parseEffectKey(key);
  if (!id)
    throw new KernelError('invalid', `${JSON.stringify(key)} is not the key of an effect: tid:resource:id:listener`);
  return id;
}
