import { Database, KernelError, type Queryable, translate } from '#libs/database';
import type { Log } from '#libs/dispatch';
import { type PoolerFacts, selectPoolerFacts } from './pooler.queries.ts';
import { programRole } from './prepare.ts';
import { selectRights } from './rights.queries.ts';

/**
 * Checks the way through a pooler in transaction mode: that it leads to the same database as the direct one, to a role that has the
 * program's rights by itself (SET ROLE would stay behind for the next client), and warns where that role has no time-outs. Throws
 * `configuration` or `unavailable`.
 */
export async function checkPooler({ url, directUrl }: { url: string; directUrl: string }, log: Log): Promise<void> {
  const pooled = Database.open({ url, directUrl, poolSize: 1 });
  const direct = Database.open({ url: directUrl, poolSize: 1 });
  try {
    const facts = await through('DATABASE_URL', pooled);
    if (facts.place !== (await through('TIDEMARK_DIRECT_URL', direct)).place) throw otherDatabase();
    const rights = await selectRights(pooled);
    if (programRole(rights) !== undefined) throw unfitRole(rights.role);
    for (const timeout of facts.missing_timeouts) warn(log, facts.role, timeout);
  } catch (error) {
    throw translate(error);
  } finally {
    await Promise.all([pooled.close(), direct.close()]);
  }
}

async function through(variable: string, db: Queryable): Promise<PoolerFacts> {
  try {
    return await selectPoolerFacts(db);
  } catch (error) {
    const known = translate(error);
    if (!(known instanceof KernelError)) throw error;
    throw new KernelError(known.code, `${variable}: ${(error as Error).message}`, { cause: error });
  }
}

function otherDatabase(): KernelError {
  const problem = 'TIDEMARK_DIRECT_URL and DATABASE_URL must name the same database';
  return new KernelError('configuration', `${problem}: the one past the pooler, the other through it.`);
}

function unfitRole(role: string): KernelError {
  const problem = `through a pooler the program works with the rights of the role it logs in as, and ${role} has others than tidemark_app`;
  const advice =
    'let DATABASE_URL name a role that is no owner, inherits, and was given nothing but: GRANT tidemark_app TO "<role>"';
  return new KernelError('configuration', `${problem}: ${advice}`);
}

function warn(log: Log, role: string, timeout: string): void {
  const advice = `ALTER ROLE "${role}" SET ${timeout} = '${timeout === 'statement_timeout' ? '30s' : '60s'}'`;
  log.warn({ role, timeout }, `${role} has no ${timeout}, which cannot be set through a pooler: ${advice}`);
}
