import { isNativeError } from 'node:util/types';
import { Database } from './database.ts';
import { isUnreachable, KernelError, translate } from './errors.ts';
import { selectServer } from './fitness.queries.ts';

const OLDEST = 15;
/** Asked for, and looked for: a pooler may drop it, as it drops LISTEN and the role of a session. */
const STATEMENT_TIMEOUT = 29_796;
const POOLER =
  'DATABASE_URL goes through a pooler. Set TIDEMARK_DIRECT_URL to the same database past it (docs/deployment.md)';

/** Whether a server can hold a Tidemark database: reachable, PostgreSQL 15 or newer, UTF-8, no standby. KernelError `configuration` or `unavailable`. */
export async function checkFitness(url: string): Promise<void> {
  const database = Database.open({ url, poolSize: 1, statementTimeout: STATEMENT_TIMEOUT });
  try {
    const { version, shown, encoding, name, standby, statement_timeout } = await selectServer(database);
    const problem =
      version < OLDEST
        ? `PostgreSQL ${shown} is too old: Tidemark needs ${OLDEST} or newer`
        : encoding !== 'UTF8'
          ? `the database "${name}" is encoded in ${encoding}: create one with ENCODING 'UTF8'`
          : standby
            ? `the database "${name}" is on a standby, which takes no changes: name the primary`
            : statement_timeout !== STATEMENT_TIMEOUT
              ? `the database "${name}" does not get the settings of its sessions: ${POOLER}`
              : undefined;
    if (problem !== undefined) throw new KernelError('configuration', problem);
  } catch (error) {
    throw refusal(error);
  } finally {
    await database.close();
  }
}

/** What a connection attempt fails with, in words. */
function refusal(error: unknown): unknown {
  if (!isNativeError(error) || error instanceof KernelError) return error;
  const message = error.message || String((error as { code?: string }).code);
  if (/unsupported startup parameter/.test(message)) {
    return new KernelError('configuration', `the connection is refused (${message}): ${POOLER}`, { cause: error });
  }
  if (isUnreachable(error)) {
    return new KernelError('unavailable', `the database is not reachable: ${message}`, { cause: error });
  }
  return REFUSALS.has(String((error as { code?: string }).code))
    ? new KernelError('configuration', `the database refuses the connection: ${message}`, { cause: error })
    : translate(error);
}

/** Wrong password or no entry in pg_hba.conf, no such database, no right to connect; a socket of another user, a URL that is none. */
const REFUSALS = new Set(['28P01', '28000', '3D000', '42501', 'EACCES', 'ERR_INVALID_URL']);
