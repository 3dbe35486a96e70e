import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { KernelError } from '#libs/database';

/** The program's own migrations, beside dist/ in the checkout and in the installed package. */
export const migrationsFolder = resolve(import.meta.dirname, '../../../migrations');

/** Where the compiler puts the program's migrations that are written in TypeScript. */
const compiledFolder = resolve(import.meta.dirname, '../../migrations');

/** The migrations of the server's own domain: a program with tables of its own has no use for them. */
const domainList = join(migrationsFolder, 'domain.json');

/** What all files of some folders do, by name: `*.sql` runs as it stands, `*.js` exports `up(db)`. KernelError `configuration` for two of one name. */
export async function readMigrations(folders: readonly string[]): Promise<Record<string, Migration>> {
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

/** The names of the migrations that belong to the server's own domain. */
export async function domainMigrations(): Promise<ReadonlySet<string>> {
  return new Set(JSON.parse(await readFile(domainList, 'utf8')) as string[]);
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
