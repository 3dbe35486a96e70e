import { KernelError, type Queryable } from '#libs/database';
import { type KeyedStatements, runSized } from './keyed-statements.ts';
import type { KeyedProjection } from './projection.ts';

/**
 * Computes the keys of changed rows anew where several transactions may do so at once. A key is locked before the statement that
 * computes it takes its snapshot, and until the commit: so the last one to write it has seen what all before it have committed.
 */
export async function computeLocked(
  tx: Queryable,
  projection: KeyedProjection,
  statements: KeyedStatements,
  changed: readonly (readonly string[])[],
): Promise<void> {
  const { changedKeys, liveSome } = statements;
  const count = changed.flat().length;
  const keys = new Set<string>();
  const find = async () => {
    const { rows } = await runSized<{ key: string }>(tx, changedKeys, count, changed);
    return rows.map(({ key }) => key).filter((key) => !keys.has(key));
  };
  await tx.query('SAVEPOINT tidemark_keys');
  for (let found = await find(); found.length > 0; ) {
    for (const key of found) keys.add(key);
    const given = [...keys];
    await lockKeys(tx, projection, statements, given);
    found = await find();
    if (found.length === 0) await runSized(tx, liveSome, given.length, [given]);
    // A row that `keys` joins was moved while this waited. All are let go and taken again, in their order: else two could wait for each other.
    else await tx.query('ROLLBACK TO SAVEPOINT tidemark_keys');
  }
}

/**
 * Locks keys (JSON arrays as text) until the end of the transaction. Throws `configuration` where its later statements would not see
 * what others have committed meanwhile.
 */
export async function lockKeys(
  tx: Queryable,
  { name }: KeyedProjection,
  { lockSome }: KeyedStatements,
  keys: readonly string[],
): Promise<void> {
  const { rows } = await runSized<{ isolation: string }>(tx, lockSome, keys.length, [keys, name]);
  const isolation = rows[0]?.isolation ?? 'read committed';
  if (isolation === 'read committed') return;
  const message = `the inline projection ${name} is computed in READ COMMITTED only: in ${isolation.toUpperCase()} a transaction does not see what others have committed to its keys`;
  throw new KernelError('configuration', message);
}
