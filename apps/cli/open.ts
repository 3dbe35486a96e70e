import { Database, KernelError, type Queryable } from '#libs/database';
import type { Log } from '#libs/dispatch';
import type { Resource } from '#libs/journal';
import {
  type Config,
  type Flags,
  type Kernel,
  type Located,
  loadConfig,
  locateDatabase,
  openKernel,
  openOwner,
  readEnvironment,
} from '#libs/kernel';
import { resources } from '#libs/resources';
import type { ImportTables } from './import-git/import.queries.ts';
import { say } from './output.ts';
import type { GlobalOptions } from './program.ts';

export type ReaderOptions = GlobalOptions;

/** What a command that only looks is given. */
export interface Reader {
  readonly db: Queryable;
  /** The resource of that name. Throws `invalid` with the names there are. */
  resource(name: string): Resource;
}

/** Runs work with the program's rights on the configured database, and closes it. */
export async function withReader<T>(options: ReaderOptions, work: (reader: Reader) => Promise<T>): Promise<T> {
  const opened = await openKernel(configOf(options), { resources, log: quietLog, name: 'tidemark cli' });
  try {
    return await work({ db: opened.database, resource: (name) => find(opened.kernel.resources, name) });
  } finally {
    await opened.close();
  }
}

/** Runs work with the rights of an importer, who may set the time of a change. */
export async function withImporter<T>(
  options: ReaderOptions,
  work: (kernel: Kernel<ImportTables>) => Promise<T>,
): Promise<T> {
  const opened = await openOwner<ImportTables>(configOf(options), {
    resources,
    log: quietLog,
    name: 'tidemark import',
  });
  try {
    return await work(opened.kernel);
  } finally {
    await opened.close();
  }
}

/** Runs work on the configured database as it is, without migrating it. */
export async function withDatabase<T>(
  options: ReaderOptions,
  work: (database: Database, located: Located) => Promise<T>,
): Promise<T> {
  const located = await locateDatabase(configOf(options), quietLog);
  const database = Database.open({ url: located.url, poolSize: 2, applicationName: 'tidemark cli' });
  try {
    return await work(database, located);
  } finally {
    await database.close();
    await located.release();
  }
}

/** The configuration of environment and flags. */
export function configOf({ json: _json, ...flags }: ReaderOptions): Config {
  const { databaseUrl, dataDir } = flags;
  return loadConfig(readEnvironment(), { databaseUrl, dataDir } satisfies Flags);
}

/** Warnings and errors as sentences beside the results. */
export const quietLog: Log = {
  debug() {},
  info() {},
  warn: (_about, message) => say(`tidemark: ${message}`),
  error: (_about, message) => say(`tidemark: ${message}`),
};

function find(known: ReadonlyMap<string, Resource>, name: string): Resource {
  const resource = known.get(name);
  if (resource === undefined) {
    throw new KernelError('invalid', `there is no resource "${name}": there is ${[...known.keys()].join(', ')}`);
  }
  return resource;
}
