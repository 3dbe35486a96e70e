import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { type Kysely, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { Database } from './database.ts';
import { KernelError, translate } from './errors.ts';

/** The program's own migrations, beside dist/ in the checkout and in the installed package. */
export const migrationsFolder = resolve(import.meta.dirname, '../../../migrations');

/** Where the compiler puts the program's migrations that are written in TypeScript. */
const compiledFolder = resolve(import.meta.dirname, '../../migrations');

/** An arbitrary number: whoever migrates a database holds this advisory lock. */
const MIGRATION_LOCK = 29_796;

export interface MigrationStatus {
  readonly applied: string[];
  readonly pending: string[];
  /** Applied to the database but not known to this program: the database is newer. */
  readonly unknown: string[];
}

/**
 * Applies what is pending, in the order of the file names, all of it in one transaction. Any number of processes may start at once: they take turns.
 * KernelError `configuration` when the database is newer than the program, when the role may not apply them, and when one fails.
 */
export async function migrate(ownerUrl: string, folders: readonly string[]): Promise<{ applied: string[] }> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await migrateOnce(ownerUrl, folders);
    } catch (error) {
      if (attempt === 20 || !isRaceForRoles(error)) throw refusal(error);
      await delay(20 + Math.random() * 80);
    }
  }
}

async function migrateOnce(ownerUrl: string, folders: readonly string[]): Promise<{ applied: string[] }> {
  const options = { poolSize: 2, statementTimeout: 0, applicationName: 'tidemark migrate' };
  const database = Database.open({ url: ownerUrl, ...options });
  try {
    return await database.kysely.connection().execute(async (connection) => {
      await sql`SELECT pg_advisory_lock(${sql.lit(MIGRATION_LOCK)})`.execute(connection);
      const status = await statusOf(database, folders);
      refuseNewer(status);
      if (status.pending.length === 0) return { applied: [] };
      return { applied: await apply(database.kysely, folders) };
    });
  } finally {
    await database.close();
  }
}

/** What is applied and what is pending; needs no right but to read. */
export async function migrationStatus(url: string, folders: readonly string[]): Promise<MigrationStatus> {
  const database = Database.open({ url, poolSize: 1 });
  try {
    return await statusOf(database, folders);
  } catch (error) {
    throw translate(error);
  } finally {
    await database.close();
  }
}

export function refuseNewer(status: MigrationStatus): void {
  if (status.unknown.length === 0) return;
  const problem = `the database is newer than this program: it holds the migration ${status.unknown.join(', ')}`;
  throw new KernelError('configuration', `${problem}, which this version does not know. Start the newer version.`);
}

/** Roles belong to the cluster, and the lock to one database: another database of the cluster was being migrated at the same moment. */
function isRaceForRoles(error: unknown): boolean {
  const cause = error instanceof KernelError ? error.cause : error;
  return cause instanceof Error && /tuple concurrently (updated|deleted)|pg_auth/.test(cause.message);
}

function refusal(error: unknown): unknown {
  const cause = error instanceof KernelError ? error.cause : error;
  if ((cause as { code?: string } | undefined)?.code !== '42501') return translate(error);
  const problem = `the role may not apply the migrations (${(cause as Error).message})`;
  const advice = 'run "tidemark migrate" as the owner of the database, or set DATABASE_OWNER_URL';
  return new KernelError('configuration', `${problem}: ${advice}`, { cause });
}

async function apply(db: Kysely<unknown>, folders: readonly string[]): Promise<string[]> {
  const migrator = new Migrator({
    db,
    migrationTableSchema: 'tidemark',
    migrationTableName: 'migration',
    migrationLockTableName: 'migration_lock',
    provider: { getMigrations: () => readMigrations(folders) },
  });
  const { error, results = [] } = await migrator.migrateToLatest();
  const failed = results.find((result) => result.status === 'Error');
  if (!error) return results.map((result) => result.migrationName);
  if (!failed) throw error;
  const message = `migration ${failed.migrationName} failed: ${(error as Error).message}`;
  throw new KernelError('configuration', message, { cause: error });
}

async function statusOf(database: Database, folders: readonly string[]): Promise<MigrationStatus> {
  const known = Object.keys(await readMigrations(folders)).sort();
  const { rows: exists } = await database.query<{ found: boolean }>(
    `SELECT to_regclass('tidemark.migration') IS NOT NULL AS found`,
  );
  const { rows } = exists[0]?.found
    ? await database.query<{ name: string }>('SELECT name FROM tidemark.migration ORDER BY name')
    : { rows: [] };
  const applied = rows.map((row) => row.name);
  return {
    applied,
    pending: known.filter((name) => !applied.includes(name)),
    unknown: applied.filter((name) => !known.includes(name)),
  };
}

/** `*.sql` runs as it stands; `*.js` exports `up(db)`. */
async function readMigrations(folders: readonly string[]): Promise<Record<string, Migration>> {
  const migrations: Record<string, Migration> = {};
  for (const folder of folders.includes(migrationsFolder) ? [...folders, compiledFolder] : folders) {
    for (const file of await filesOf(folder)) {
      const path = join(folder, file);
      const [, name, kind] = /^(\d{4}_[\w-]+)\.(sql|js)$/.exec(file) ?? [];
      if (name === undefined) continue;
      if (migrations[name]) throw new KernelError('configuration', `two migrations are called ${name}`);
      const runFile: Migration = { up: async (db) => void (await sql.raw(await readFile(path, 'utf8')).execute(db)) };
      migrations[name] = kind === 'sql' ? runFile : ((await import(pathToFileURL(path).href)) as Migration);
    }
  }
  return migrations;
}

async function filesOf(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (cause) {
    if (folder === compiledFolder) return [];
    const problem = `no migrations can be read from ${folder}: ${(cause as Error).message}`;
    throw new KernelError('configuration', problem, { cause });
  }
}
