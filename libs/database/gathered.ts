import type { Queryable } from './connection.ts';

type Loaded<K, R> = ReadonlyMap<K, R>;

interface Waiting<K, R> {
  readonly keys: Set<K>;
  readonly loaded: Promise<Loaded<K, R>>;
}

/**
 * Makes one statement of the look-ups that come in one turn of the event loop, per database (the idea of GraphQL's DataLoader, without
 * its cache): a round trip costs both sides more than a row. Within a transaction, where each waits for the last, nothing changes.
 *
 * The keys are best written `= ANY ((SELECT $1)::text[])`: of a bare `$1` PostgreSQL counts the values, so it finds the general plan of a
 * prepared statement dearer than one for just these, and plans each call anew, which takes longer than running it.
 */
export function gathered<K, R>(
  load: (db: Queryable, keys: K[]) => Promise<Loaded<K, R>>,
): (db: Queryable, key: K) => Promise<R | undefined> {
  const open = new WeakMap<Queryable, Waiting<K, R>>();
  const begin = (db: Queryable): Waiting<K, R> => {
    const keys = new Set<K>();
    const turn = Promise.withResolvers<void>();
    setImmediate(() => {
      open.delete(db);
      turn.resolve();
    });
    return { keys, loaded: turn.promise.then(() => load(db, [...keys])) };
  };
  return async (db, key) => {
    const waiting = open.get(db) ?? begin(db);
    open.set(db, waiting);
    waiting.keys.add(key);
    return (await waiting.loaded).get(key);
  };
}
