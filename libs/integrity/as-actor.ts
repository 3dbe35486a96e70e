import type { Queryable } from '#libs/database';
import { type Actor, queryable, type Writer } from '#libs/journal';

/** Runs statements in one transaction of an actor: what they change is journaled as the actor's. */
export async function asActor<T>(writer: Writer, actor: Actor, work: (tx: Queryable) => Promise<T>): Promise<T> {
  const { result } = await writer.transaction(actor, (tx) => work(queryable(tx)));
  return result;
}
