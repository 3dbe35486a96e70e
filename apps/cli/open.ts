import { Database, KernelError, type Queryable } from '#libs/database';
import type { Log } from '#libs/dispatch';
import type { Resource } from '#libs/journal';
import {
  type Config,
  type Flags,
  type Kernel,
  type Located,
  loadConfig,
  loadPlugins,
  locateDatabase,
  openKernel,
  openOwner,
  type Plugins,
  readEnvironment,
} from '#libs/kernel';
import type { Projection } from '#libs/projection';
import { projections, resources } from '#libs/resources';
import type { ImportTables } from './import-git/import.queries.ts';
import { say } from './output.ts';
import type { GlobalOptions } from './program.ts';

export type ReaderOptions = GlobalOptions;

/** What a command that only looks is given. */
export interface Reader {
  /** With the program's rights, not started. */
  readonly kernel: Kernel;
  readonly db: Database;
  /** Runs work in one transaction. */
  atomic<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
  /** The resource of that name. Throws `invalid` with the names there are. */
  resource(name: string): Resource;
  /** All projections, of the domain and of plugins. */
  readonly projections: readonly Projection[];
  /** The projection of that name. Throws `invalid` with the names there are. */
  projection(name: string): Projection;
}

/** Runs work with the program's rights on the configured database, and closes it. */
export async function withReader<T>(options: ReaderOptions, work: (reader: Reader) => Promise<T>): Promise<T> {
  const opened = await openKernel(configOf(options), { resources, projections, log: quietLog, name: 'tidemark cli' });
  try {
    const { database, kernel } = opened;
    return await work({
      kernel: kernel as Kernel,
      db: database as Database,
      atomic: (within) => kernel.atomic((writer) => within(writer.database)),
      resource: (name) => find(kernel.resources, name),
      projections: kernel.projections.all,
      projection: (name) => findProjection(kernel.projections.all, name),
    });
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

/** Runs work on the configured database as it is, past any pooler, without migrating it. */
export async function withDatabase<T>(
  options: ReaderOptions,
  work: (database: Database, located: Located, plugins: Plugins) => Promise<T>,
): Promise<T> {
  const config = configOf(options);
  const plugins = await loadPlugins(config);
  const located = await locateDatabase(config, quietLog);
  const url = located.directUrl ?? located.url;
  const database = Database.open({ url, poolSize: 2, applicationName: 'tidemark cli' });
  try {
    return await work(database, { ...located, url }, plugins);
  } finally {
    await database.close();
    await located.release();
  }
}

/** The configuration of environment and flags. */
export function configOf({ json: _json, ...flags }: ReaderOptions): Config {
  const { databaseUrl, dataDir, plugins } = flags;
  return loadConfig(readEnvironment(), { databaseUrl, dataDir, plugins } satisfies Flags);
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

function findProjection(known: readonly Projection[], name: string): Projection {
  const projection = known.find((one) => one.name === name);
  if (projection !== undefined) return projection;
  const there = known.length === 0 ? 'none' : known.map((one) => one.name).join(', ');
  throw new KernelError('invalid', `there is no projection ${JSON.stringify(name)}: there is ${there}`);
}
