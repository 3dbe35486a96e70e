import type { Queryable } from '#libs/database';
import type { Row } from '#libs/journal';
import { type Cause, causeOf, LONGEST_CHAIN } from './cause.ts';

/** One step back from a change: the tid that has caused it, by which listener. */
export type CausedBy = Pick<Cause, 'tid' | 'listener'>;

interface Changed {
  readonly tid: number;
  readonly meta: Row | null;
}

/**
 * Adds what has caused each change: the change that it is an effect of, the one which that is an effect of, and so on, the nearest first; of
 * a change that no effect has made, nothing. One statement for each step of the longest chain.
 */
export async function withCauses<T extends Changed>(
  db: Queryable,
  changes: readonly T[],
): Promise<(T & { causes: CausedBy[] })[]> {
  const known = new Map<number, Cause | undefined>();
  let steps = changes.flatMap((change) => causeOf(change) ?? []);
  for (let n = 0; n < LONGEST_CHAIN; n++) {
    const tids = [...new Set(steps.map(({ tid }) => tid))].filter((tid) => !known.has(tid));
    if (tids.length === 0) break;
    for (const tid of tids) known.set(tid, undefined);
    for (const change of await selectCaused(db, tids)) known.set(change.tid, causeOf(change));
    steps = tids.flatMap((tid) => known.get(tid) ?? []);
  }
  return changes.map((change) => ({ ...change, causes: chainOf(change, known) }));
}

function chainOf(change: Changed, known: ReadonlyMap<number, Cause | undefined>): CausedBy[] {
  const chain: CausedBy[] = [];
  let before = change.tid;
  for (let cause = causeOf(change); cause && cause.tid < before; cause = known.get(before)) {
    chain.push({ tid: cause.tid, listener: cause.listener });
    before = cause.tid;
  }
  return chain;
}

/** Of some tids those that effects have made. The changes of one tid have one cause. */
async function selectCaused(db: Queryable, tids: readonly number[]): Promise<Changed[]> {
  const { rows } = await db.query<Changed>(
    `SELECT DISTINCT ON (tid) tid, jsonb_build_object('cause', meta -> 'cause') AS meta FROM tidemark.journal
       WHERE tid = ANY ($1::bigint[]) AND meta ? 'cause' ORDER BY tid`,
    [tids],
  );
  return rows;
}
