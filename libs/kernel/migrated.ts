import { KernelError, type Queryable } from '#libs/database';
import { coreStatus, refuseNewer } from '#libs/migrations';

/** Checks that a database has what this version of Tidemark needs. Throws `configuration` when it lacks something, or is newer. */
export async function checkMigrated(db: Queryable): Promise<void> {
  const status = await coreStatus(db);
  refuseNewer(status);
  if (status.pending.length === 0) return;
  const lacking =
    status.applied.length === 0
      ? 'the database is none of Tidemark yet'
      : `the database lacks Tidemark's migration ${status.pending.join(', ')}`;
  throw new KernelError('configuration', `${lacking}: call migrateDatabase() with the URL of its owner first`);
}
