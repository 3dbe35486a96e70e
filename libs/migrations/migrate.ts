import { setTimeout as delay } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { Database, KernelError, type Queryable, translate } from '#libs/database';
import { domainMigrations, migrationsFolder, readMigrations } from './migration-files.ts';
import {
  blaming,
  dropRecord,
  LEDGER,
  named,
  nameIn,
  openRecord,
  type Plan,
  type PluginMigrations,
  planOf,
  refuseEmpty,
} from './migration-plan.ts';

/** An arbitrary number: whoever migrates a database holds this advisory lock. */
const MIGRATION_LOCK = 29_796;

export interface MigrationStatus {
  readonly applied: string[];
  readonly pending: string[];
  /** Applied to the database but not known to this program: the database is newer. */
  readonly unknown: string[];
}

export interface HostMigrations {
  /** The database as its owner. */
  readonly url: string;
  /** The program's own migrations, `0001_shop_order.sql` and so on; without it only Tidemark's are applied. */
  readonly folder?: string;
  /** Whose migrations they are, where several programs share the database: small letters, digits and _; default `host`. */
  readonly program?: string;
}

const CORE: Plan = { ledger: LEDGER, folders: [migrationsFolder], core: true };

/**
 * Applies what is pending, in the order of the file names, all of it in one transaction; then the same of each plugin. Any number of
 * processes may start at once: they take turns. KernelError `configuration` when the database is newer than the program or a plugin, when the
 * role may not apply them, and when one fails.
 */
export async function migrate(
  ownerUrl: string,
  folders: readonly string[],
  plugins: readonly PluginMigrations[] = [],
): Promise<{ applied: string[] }> {
  const advice = 'run "tidemark migrate" as the owner of the database, or set DATABASE_OWNER_URL';
  return migratePlans(ownerUrl, [{ ledger: LEDGER, folders }, ...plugins.map(planOf)], advice);
}

/**
 * Makes a database fit for a program with tables of its own: applies what Tidemark itself needs, and then the migrations of the
 * program's folder, each in the order of the file names, each in one transaction. Any number of processes may start at once: they take
 * turns. KernelError `configuration` as for a server's migrations.
 */
export async function migrateDatabase(options: HostMigrations): Promise<{ applied: string[] }> {
  const { url, folder, program = 'host' } = options;
  if (!/^(?!plugin_)[a-z][a-z0-9_]{0,39}$/.test(program)) {
    throw new KernelError(
      'configuration',
      `"${program}" is no name of a program: small letters, digits and _ make one`,
    );
  }
  const own: Plan[] = folder === undefined ? [] : [{ ledger: `${LEDGER}_${program}`, folders: [folder] }];
  return migratePlans(url, [CORE, ...own], 'give the URL of its owner');
}

async function migratePlans(ownerUrl: string, plans: readonly Plan[], advice: string): Promise<{ applied: string[] }> {
  const applied: string[] = [];
  for (let attempt = 1; ; attempt++) {
    try {
      await migrateOnce(ownerUrl, plans, applied);
      return { applied };
    } catch (error) {
      if (attempt === 20 || !isRaceForRoles(error)) throw refusal(error, advice);
      await delay(20 + Math.random() * 80);
    }
  }
}

async function migrateOnce(ownerUrl: string, plans: readonly Plan[], applied: string[]): Promise<void> {
  const options = { poolSize: 2, statementTimeout: 0, applicationName: 'tidemark migrate' };
  const database = Database.open({ url: ownerUrl, ...options });
  try {
    await database.kysely.connection().execute(async (connection) => {
      await sql`SELECT pg_advisory_lock(${sql.lit(MIGRATION_LOCK)})`.execute(connection);
      for (const plan of plans) {
        const status = await statusOf(database, plan);
        refuseNewer(named(plan, status));
        if (status.pending.length > 0) applied.push(...(await blaming(plan, apply(database.kysely, plan, status))));
      }
    });
  } finally {
    await database.close();
  }
}

/** What is applied and what is pending, plugins last; needs no right but to read. */
export async function migrationStatus(
  url: string,
  folders: readonly string[],
  plugins: readonly PluginMigrations[] = [],
): Promise<MigrationStatus> {
  const database = Database.open({ url, poolSize: 1 });
  try {
    const all: MigrationStatus = { applied: [], pending: [], unknown: [] };
    for (const plan of [{ ledger: LEDGER, folders }, ...plugins.map(planOf)]) {
      const { applied, pending, unknown } = named(plan, await statusOf(database, plan));
      all.applied.push(...applied);
      all.pending.push(...pending);
      all.unknown.push(...unknown);
    }
    return all;
  } catch (error) {
    throw translate(error);
  } finally {
    await database.close();
  }
}

/** The same of what Tidemark needs whatever tables it journals. */
export function coreStatus(database: Queryable): Promise<MigrationStatus> {
  return statusOf(database, CORE);
}

/** Throws `configuration` when the database holds migrations that the program, or a plugin, does not know. */
export function refuseNewer({ unknown }: MigrationStatus): void {
  if (unknown.length === 0) return;
  const [plugin, name] = (unknown[0] as string).split('/') as [string, string | undefined];
  const [older, which] = name === undefined ? ['this program', unknown.join(', ')] : [`the plugin ${plugin}`, name];
  const problem = `the database is newer than ${older}: it holds the migration ${which}`;
  throw new KernelError('configuration', `${problem}, which this version does not know. Start the newer version.`);
}

/** Roles belong to the cluster, and the lock to one database: another database of the cluster was being migrated at the same moment. */
function isRaceForRoles(error: unknown): boolean {
  const cause = error instanceof KernelError ? error.cause : error;
  return cause instanceof Error && /tuple concurrently (updated|deleted)|pg_auth/.test(cause.message);
}

function refusal(error: unknown, advice: string): unknown {
  const cause = error instanceof KernelError ? error.cause : error;
  if ((cause as { code?: string } | undefined)?.code !== '42501') return translate(error);
  const problem = `the role may not apply the migrations (${(error as Error).message})`;
  return new KernelError('configuration', `${problem}: ${advice}`, { cause });
}

/** Not in the order of all names: a database may be given the domain, or a program's own tables, after later files were applied. */
async function apply(db: Kysely<unknown>, plan: Plan, { applied, pending }: MigrationStatus): Promise<string[]> {
  const files = await readMigrations(plan.folders);
  const wanted = Object.entries(files).filter(([name]) => applied.includes(name) || pending.includes(name));
  const migrator = new Migrator({
    db,
    migrationTableSchema: 'tidemark',
    migrationTableName: plan.ledger,
    migrationLockTableName: 'migration_lock',
    allowUnorderedMigrations: true,
    provider: { getMigrations: async () => Object.fromEntries(wanted) as Record<string, Migration> },
  });
  await openRecord(db, plan);
  const { error, results = [] } = await migrator.migrateToLatest();
  if (!error) return results.map(({ migrationName }) => nameIn(plan, migrationName));
  // an empty record that stays does no harm, and hiding the error would
  if (applied.length === 0) await dropRecord(db, plan).catch(() => undefined);
  const failed = results.find((result) => result.status === 'Error');
  if (!failed) throw error;
  const message = `migration ${failed.migrationName} failed: ${(error as Error).message}`;
  throw new KernelError('configuration', message, { cause: error });
}

async function statusOf(database: Queryable, plan: Plan): Promise<MigrationStatus> {
  const { folders, ledger, core } = plan;
  const known = Object.keys(await blaming(plan, readMigrations(folders))).sort();
  if (known.length === 0) refuseEmpty(plan);
  const domain = core ? await domainMigrations() : new Set<string>();
  const table = `tidemark.${ledger}`;
  const { rows: exists } = await database.query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [
    table,
  ]);
  const { rows } = exists[0]?.found
    ? await database.query<{ name: string }>(`SELECT name FROM ${table} ORDER BY name`)
    : { rows: [] };
  const applied = rows.map((row) => row.name);
  return {
    applied,
    pending: known.filter((name) => !applied.includes(name) && !domain.has(name)),
    unknown: applied.filter((name) => !known.includes(name)),
  };
}
