import { type Kysely, sql } from 'kysely';
import { isUnreachable, KernelError } from '#libs/database';
import type { MigrationStatus } from './migrate.ts';

/** The migrations of a plugin. They are in a folder of its own, and called `<plugin>/<file>`. */
export interface PluginMigrations {
  /** Its name: small letters and digits, parted by `-`. */
  readonly plugin: string;
  readonly folder: string;
}

/** The migrations of some folders, and the table of the schema tidemark that says which of them are applied. */
export interface Plan {
  readonly ledger: string;
  readonly folders: readonly string[];
  /** Leaves the server's own domain out, unless the database has it. */
  readonly core?: boolean;
  readonly plugin?: string;
}

/** The record of the program's own migrations. */
export const LEDGER = 'migration';

/** A record of its own: without the plugin, its migrations are nothing that a program lacks. */
export function planOf({ plugin, folder }: PluginMigrations): Plan {
  return { ledger: `${LEDGER}_plugin_${plugin.replaceAll('-', '_')}`, folders: [folder], plugin };
}

/** What a migration is called where there are several plans. */
export function nameIn({ plugin }: Plan, name: string): string {
  return plugin === undefined ? name : `${plugin}/${name}`;
}

/** The same with these names. */
export function named(plan: Plan, { applied, pending, unknown }: MigrationStatus): MigrationStatus {
  const all = (names: string[]) => names.map((name) => nameIn(plan, name));
  return { applied: all(applied), pending: all(pending), unknown: all(unknown) };
}

/** An error of a plugin's migrations names the plugin. */
export async function blaming<T>({ plugin }: Plan, work: Promise<T>): Promise<T> {
  if (plugin === undefined) return work;
  return work.catch((error: Error) => {
    if (isUnreachable(error)) throw error;
    const cause = (error instanceof KernelError && error.cause) || error;
    throw new KernelError('configuration', `plugin ${plugin}: ${error.message}`, { cause });
  });
}

/** Makes the record of a plugin's migrations, with its columns as the Migrator has them; the program may read it. */
export async function openRecord(db: Kysely<unknown>, { ledger, plugin }: Plan): Promise<void> {
  if (plugin === undefined) return;
  const record = sql`tidemark.${sql.ref(ledger)}`;
  await db.transaction().execute(async (tx) => {
    await sql`CREATE TABLE IF NOT EXISTS ${record} (name varchar(255) PRIMARY KEY, timestamp varchar(255) NOT NULL)`.execute(
      tx,
    );
    await sql`GRANT SELECT ON ${record} TO tidemark_app`.execute(tx);
  });
}

/** A plugin whose first migrations have failed leaves nothing behind. */
export async function dropRecord(db: Kysely<unknown>, { ledger, plugin }: Plan): Promise<void> {
  if (plugin !== undefined) await sql`DROP TABLE tidemark.${sql.ref(ledger)}`.execute(db);
}

/** A plugin with a folder and nothing in it means another folder, or other names. */
export function refuseEmpty({ plugin, folders }: Plan): void {
  if (plugin === undefined) return;
  const problem = `there is no migration in ${folders.join(', ')}: they are called 0001_name.sql, 0002_name.sql`;
  throw new KernelError('configuration', `plugin ${plugin}: ${problem}`);
}
