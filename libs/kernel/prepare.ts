import { checkFitness, Database, KernelError, translate } from '#libs/database';
import type { Log } from '#libs/dispatch';
import { migrate, migrationStatus, migrationsFolder, type PluginMigrations, refuseNewer } from '#libs/migrations';
import { type Rights, selectRights } from './rights.queries.ts';

/** Where a database is: for all work; where that is another role, for its owner; and past a pooler, where `url` goes through one. */
export interface DatabaseUrls {
  readonly url: string;
  readonly ownerUrl?: string | undefined;
  readonly directUrl?: string | undefined;
}

/**
 * Makes a database fit for this program, migrating it where that is needed and allowed, and tells what the login role of `url` (past a
 * pooler: of `directUrl`) may do. Throws `configuration` when the database is unfit or newer than the program, or when migrations are
 * pending and nobody given may apply them; `unavailable` when it is not reachable.
 */
export async function prepareDatabase(
  { url, ownerUrl, directUrl }: DatabaseUrls,
  log: Log,
  plugins: readonly PluginMigrations[] = [],
): Promise<Rights> {
  const program = directUrl ?? url;
  await checkFitness(program);
  const pending = await findPending(ownerUrl ?? program, plugins);
  // Rights are read after what is pending: what was read before another process has migrated holds no longer.
  const rights = await readRights(program);
  if (pending?.length === 0) return sameDatabase(rights);
  if (rights.installed && ownerUrl === undefined && !rights.owner && !rights.app_member) {
    throw notAMember(rights.role, 'tidemark_app');
  }
  const mayMigrate =
    ownerUrl !== undefined || rights.superuser || (rights.installed ? rights.owner : rights.may_create);
  if (pending === undefined || !mayMigrate) throw pendingWithoutRights(pending ?? [], rights.role);
  const { applied } = await migrate(ownerUrl ?? program, [migrationsFolder], plugins);
  if (applied.length > 0) log.info({ applied }, 'the database is migrated');
  return sameDatabase(await readRights(program));
}

/** The role to work as on each connection, so that the program cannot change what is journaled; none when the login role cannot anyway. */
export function programRole(rights: Rights): 'tidemark_app' | undefined {
  if (rights.superuser || rights.owner || rights.importer_rights) return 'tidemark_app';
  if (rights.app_rights) return undefined;
  if (rights.app_member) return 'tidemark_app';
  throw notAMember(rights.role, 'tidemark_app');
}

/** The role that may set the time of a change. Throws `configuration` when the login role may not work as it. */
export function importerRole(rights: Rights): 'tidemark_importer' {
  if (rights.importer_member) return 'tidemark_importer';
  throw notAMember(rights.role, 'tidemark_importer');
}

async function readRights(url: string): Promise<Rights> {
  const database = Database.open({ url, poolSize: 1 });
  try {
    return await selectRights(database);
  } catch (error) {
    throw translate(error);
  } finally {
    await database.close();
  }
}

/** Undefined where the role may not look: the schema is there before the right to look into it, somebody is migrating or has failed to. */
async function findPending(url: string, plugins: readonly PluginMigrations[]): Promise<string[] | undefined> {
  try {
    const status = await migrationStatus(url, [migrationsFolder], plugins);
    refuseNewer(status);
    return status.pending;
  } catch (error) {
    if (error instanceof KernelError && error.code === 'forbidden') return undefined;
    throw error;
  }
}

// To be called when nothing is pending any more.
function sameDatabase(rights: Rights): Rights {
  if (rights.installed) return rights;
  throw new KernelError(
    'configuration',
    'DATABASE_OWNER_URL is migrated, but DATABASE_URL does not see it: they must name the same database.',
  );
}

function notAMember(role: string, needed: 'tidemark_app' | 'tidemark_importer'): KernelError {
  return new KernelError(
    'configuration',
    `the database role ${role} is not a member of ${needed}. Let the owner of the database run: GRANT ${needed} TO "${role}"`,
  );
}

function pendingWithoutRights(pending: readonly string[], role: string): KernelError {
  return new KernelError(
    'configuration',
    `the database needs migrations (${pending.join(', ') || 'the first ones'}), which the role ${role} may not apply. ` +
      'Run "tidemark migrate" as the owner of the database, or set DATABASE_OWNER_URL.',
  );
}
