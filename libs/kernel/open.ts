import { ensureAdminToken } from '#libs/access';
import { Database, translate } from '#libs/database';
import type { Log } from '#libs/dispatch';
import { joinEmbedded } from '#libs/embedded';
import type { Resource } from '#libs/journal';
import type { Projection } from '#libs/projection';
import type { Config } from './config.ts';
import { createKernel, type Kernel } from './kernel.ts';
import { loadPlugins, type Plugins } from './plugins.ts';
import { checkPooler } from './pooler.ts';
import { type DatabaseUrls, importerRole, prepareDatabase, programRole } from './prepare.ts';
import type { Rights } from './rights.queries.ts';

export interface OpenOptions {
  readonly resources: readonly Resource[];
  readonly projections?: readonly Projection[];
  readonly log: Log;
  /** What this process is called among the others; default `tidemark`. */
  readonly name?: string;
}

/** A database that is found, with what must be let go of afterwards. */
export interface Located extends DatabaseUrls {
  /** Whether it is the embedded one. */
  readonly embedded: boolean;
  release(): Promise<void>;
}

/** A kernel on its database, not started. */
export interface Opened<DB> {
  readonly kernel: Kernel<DB>;
  readonly database: Database<DB>;
  readonly config: Config;
  readonly embedded: boolean;
  /** Their resources, projections, permissions and migrations are there; whoever starts the kernel calls addTo() for their listeners. */
  readonly plugins: Plugins;
  readonly ownerUrl?: string | undefined;
  /** Whether the embedded database has got its first admin token just now. */
  readonly firstStart: boolean;
  /** The text of the embedded database's first admin token, while its file has it. */
  readonly adminToken?: string | undefined;
  /** Stops the kernel, closes the connections, and leaves the embedded database. */
  close(): Promise<void>;
}

/** Finds the configured database; without DATABASE_URL it joins the embedded one, or starts it. Migrates nothing. */
export async function locateDatabase(config: Config, log: Log): Promise<Located> {
  if (config.databaseUrl !== undefined) {
    return {
      url: config.databaseUrl,
      ownerUrl: config.databaseOwnerUrl,
      directUrl: config.directUrl,
      embedded: false,
      release: async () => {},
    };
  }
  const { url, ownerUrl, onLost, release } = await joinEmbedded(config.dataDir);
  onLost(() => log.warn({ dataDir: config.dataDir }, 'the embedded PostgreSQL was lost and is started again'));
  return { url, ownerUrl, embedded: true, release };
}

/**
 * Opens the configured database with the program's rights, migrated, and makes a kernel on it, with what the configured plugins add. Throws
 * `configuration` when a plugin or the database is unfit, the database newer than the program, or the role lacks rights; `unavailable` when
 * it is not reachable.
 */
export async function openKernel<DB = unknown>(config: Config, options: OpenOptions): Promise<Opened<DB>> {
  return open(config, options, async (located, { migrations }) => {
    const rights = await prepareDatabase(located, options.log, migrations);
    const { url, directUrl } = located;
    if (directUrl === undefined) return openDatabase<DB>(config, options, { url }, programRole(rights));
    await checkPooler({ url, directUrl }, options.log);
    return openDatabase<DB>(config, options, { url, directUrl }, undefined);
  });
}

/**
 * The same as the owner or an importer, who may journal changes with their own time: as DATABASE_OWNER_URL where it is given. Throws
 * `configuration` when the role is no member of tidemark_importer.
 */
export async function openOwner<DB = unknown>(config: Config, options: OpenOptions): Promise<Opened<DB>> {
  return open(config, options, async (located, { migrations }) => {
    const url = located.ownerUrl ?? located.directUrl ?? located.url;
    const rights: Rights = await prepareDatabase({ url }, options.log, migrations);
    return openDatabase<DB>(config, options, { url }, importerRole(rights));
  });
}

async function open<DB>(
  config: Config,
  { resources, projections = [], log, name }: OpenOptions,
  openLocated: (located: Located, plugins: Plugins) => Promise<Database<DB>>,
): Promise<Opened<DB>> {
  const plugins = await loadPlugins(config);
  const all = plugins.resourcesBeside(resources);
  const followed = plugins.projectionsBeside(projections);
  const located = await locateDatabase(config, log);
  let database: Database<DB> | undefined;
  const release = async () => {
    try {
      await database?.close();
    } finally {
      await located.release();
    }
  };
  try {
    database = await openLocated(located, plugins);
    const { token, created } = located.embedded
      ? await ensureAdminToken(database as Database, config.dataDir)
      : { token: undefined, created: false };
    const { permissions } = plugins;
    const kernel = createKernel<DB>({
      ...{ database, resources: all, projections: followed, permissions, log, effectKeepDays: config.effectKeepDays },
      ...{ checks: plugins.checks, consistencyRules: plugins.consistencyRules },
      ...{ checkRowsPerSecond: config.checkRowsPerSecond },
      ...(name === undefined ? {} : { name }),
    });
    return {
      kernel,
      database,
      config,
      plugins,
      embedded: located.embedded,
      ownerUrl: located.ownerUrl,
      firstStart: created,
      adminToken: token,
      close: () => kernel.stop().finally(release),
    };
  } catch (error) {
    await release();
    throw translate(error);
  }
}

async function openDatabase<DB>(
  config: Config,
  { log, name = 'tidemark' }: OpenOptions,
  urls: Pick<DatabaseUrls, 'url' | 'directUrl'>,
  role: string | undefined,
): Promise<Database<DB>> {
  return Database.open<DB>({
    ...urls,
    poolSize: config.poolSize,
    applicationName: name,
    onError: (error) => log.warn({ err: error }, 'a database connection broke while nobody used it'),
    ...(role === undefined ? {} : { role }),
  });
}
