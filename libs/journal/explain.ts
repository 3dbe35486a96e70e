import { type DatabaseError, isUnreachable, KernelError, type Queryable, translate } from '#libs/database';
import { type PendingChange, touchedRow } from './changes.ts';
import { keyCondition, keyValues, quoteTable } from './resource.ts';

/** Why a flush has failed, for whoever made it. TM001 names a row that a save or delete did not meet: it is gone, or at another version. */
export async function explain(db: Queryable, error: unknown, changes: readonly PendingChange[]): Promise<unknown> {
  if (isUnreachable(error)) return new KernelError('unavailable', UNKNOWN_OUTCOME, { cause: error });
  const failed = changes.find(
    (change) => (error as DatabaseError).code === 'TM001' && touchedRow(change) === (error as Error).message,
  );
  if (failed?.kind !== 'save' && failed?.kind !== 'delete') return translate(error);
  const { resource, key, ifVersion } = failed;
  const { rows } = await db.query(
    `SELECT 1 FROM ${quoteTable(resource.table)} WHERE ${keyCondition(resource)}`,
    keyValues(resource, key),
  );
  const row = touchedRow(failed);
  return ifVersion !== undefined && rows.length > 0
    ? new KernelError('stale', `${row} is not at version ${ifVersion} any more`)
    : new KernelError('not_found', `${row} does not exist`);
}

const UNKNOWN_OUTCOME = 'the connection to the database broke: whether the change was made is not known';
