import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from 'kysely';
import pg from 'pg';
import {
  type Answer,
  Connection,
  type ConnectionSource,
  type PipelinedStatement,
  type PipelineSource,
  queryConfig,
  types,
} from './connection.ts';
import { isUnreachable, KernelError, translate } from './errors.ts';

export interface DatabaseOptions {
  /** `postgres://…`, or host, user and so on as pg takes them. */
  readonly url: string | pg.ClientConfig;
  /** The same database past a pooler: `url` goes through one in transaction mode then, and nothing on it may hang on a session. */
  readonly directUrl?: string | undefined;
  /** Connections at most; default 10. */
  readonly poolSize?: number;
  /** A pool of the caller's own, to work on instead: it is neither set up nor ended here. Only the tail gets connections beside it. */
  readonly pool?: HostPool;
  readonly applicationName?: string;
  /** Milliseconds a statement may take; default 30,000. */
  readonly statementTimeout?: number;
  /** Milliseconds a transaction may sit idle, holding the tail if it has journaled something; default 60,000. */
  readonly idleInTransactionTimeout?: number;
  /** A role to work as on every connection: `tidemark_app` where the login role is the owner. Not through a pooler. */
  readonly role?: string;
  /** Told of connections that break while nobody uses them. */
  readonly onError?: (error: Error) => void;
}

/** A pool of the program that uses Tidemark. */
export type HostPool = pg.Pool;

/** How a database is reached, as pg takes it; `max` connections. Settings of the sessions go into `options`: `-c search_path=shop`. */
export type ConnectionOptions = Omit<pg.PoolConfig, 'Client' | 'onConnect' | 'pipeline' | 'verify'>;

/** How a pool stands: connections that are open, idle ones among them, how many there may be, and who waits for one. */
export interface PoolStatus {
  readonly open: number;
  readonly idle: number;
  readonly most: number;
  readonly waiting: number;
}

/** A connection outside the pool, for LISTEN. */
export type ListenClient = pg.Client;

/** A PostgreSQL database: a pool of connections, and Kysely over the same pool. Connects at the first statement. */
export class Database<DB = unknown> implements ConnectionSource, PipelineSource {
  readonly options: DatabaseOptions;
  readonly pool: pg.Pool;
  readonly kysely: Kysely<DB>;
  /** A client that pipelines refuses cursors, so these few stand apart. They wait for no lock for long: others wait behind. */
  readonly #pipelines?: pg.Pool;

  private constructor(options: DatabaseOptions) {
    this.options = options;
    this.pool = options.pool ?? openPool(options, { max: options.poolSize ?? 10 });
    if (!options.pool && !this.pooled)
      this.#pipelines = openPool(options, { max: 2, pipeline: true, lock_timeout: 100 });
    this.kysely = new Kysely<DB>({ dialect: new PostgresDialect({ pool: kept(this.pool) }) });
  }

  /** Whether `url` goes through a pooler in transaction mode: the next statement may run in another session. */
  get pooled(): boolean {
    return this.options.directUrl !== undefined;
  }

  static open<DB = unknown>(options: DatabaseOptions): Database<DB> {
    return new Database<DB>(options);
  }

  /** A database on a program's own pool. */
  static over<DB = unknown>(pool: pg.Pool, options: Omit<DatabaseOptions, 'url' | 'pool'> = {}): Database<DB> {
    return new Database<DB>({ ...options, pool, url: connectionOf(pool) });
  }

  /**
   * Whether several statements can be sent at once: not through a pooler, and not on a program's own pool, whose connections it may have
   * set up in its own way.
   */
  get pipelines(): boolean {
    return this.#pipelines !== undefined;
  }

  get pools(): Readonly<{ main: PoolStatus; pipeline?: PoolStatus }> {
    const main = statusOf(this.pool);
    return this.#pipelines ? { main, pipeline: statusOf(this.#pipelines) } : { main };
  }

  /** Takes a connection out of the pool; it must be released. KernelError `unavailable` when there is none to be had. */
  async connect(): Promise<Connection> {
    try {
      return new Connection(await this.pool.connect(), { prepares: !this.pooled });
    } catch (error) {
      throw translate(error);
    }
  }

  async query<R = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
    name?: string,
  ): Promise<Answer<R>> {
    const { rows, rowCount } = await this.pool.query(queryConfig(text, values, this.pooled ? undefined : name));
    return { rows: rows as R[], rowCount: rowCount ?? 0, notices: [] };
  }

  async pipeline(
    statements: readonly PipelinedStatement[],
  ): Promise<Answer<Record<string, unknown>>[] | { undone: number }> {
    if (!this.#pipelines) throw new KernelError('configuration', 'a pool of the program itself takes no pipelines');
    const client = await this.#pipelines.connect().catch((error: unknown) => {
      throw translate(error);
    });
    const said = new Map<string, { code: string; message: string }[]>(statements.map(({ flush }) => [flush, []]));
    const listen = ({ code = '', message = '' }: { code?: string | undefined; message?: string | undefined }) => {
      said.get(message.slice(message.lastIndexOf(' ') + 1))?.push({ code, message });
    };
    client.on('notice', listen);
    const together = statements.length > 1;
    // One write for all of them: each wakes the server, which costs more than what it then reads.
    const { stream } = (client as pg.PoolClient & pg.Client).connection;
    stream.cork();
    const sent = [
      ...(together ? [client.query('BEGIN')] : []),
      ...statements.map(({ text, parameters, name }) => client.query(queryConfig(text, parameters, name))),
      ...(together ? [client.query('COMMIT')] : []),
    ];
    stream.uncork();
    const outcomes = await Promise.allSettled(sent);
    const first = outcomes.findIndex((outcome) => outcome.status === 'rejected');
    const failed = outcomes[first] as PromiseRejectedResult | undefined;
    const broken = failed !== undefined && isUnreachable(failed.reason);
    client.off('notice', listen);
    client.release(broken);
    if (failed && (broken || !together)) throw failed.reason;
    const answers = outcomes.map((outcome) => (outcome as PromiseFulfilledResult<pg.QueryResult>).value);
    if (failed || (together && answers.at(-1)?.command !== 'COMMIT')) {
      return { undone: first > statements.length ? -1 : first - 1 };
    }
    return statements.map(({ flush }, n) => {
      const { rows, rowCount } = answers[together ? n + 1 : n] as pg.QueryResult;
      return { rows, rowCount: rowCount ?? 0, notices: said.get(flush) ?? [] };
    });
  }

  /** Opens a connection of its own, past any pooler; the caller listens to `error`, and ends it. */
  async listenClient(): Promise<ListenClient> {
    const { directUrl, ...options } = this.options;
    const direct = { ...options, ...(directUrl === undefined ? {} : { url: directUrl }) };
    const client = new pg.Client({ ...clientConfig(direct), types, connectionTimeoutMillis: 10_000 });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  async close(): Promise<void> {
    await this.kysely.destroy();
    const own = this.options.pool ? [] : [this.pool, ...(this.#pipelines ? [this.#pipelines] : [])];
    for (const pool of own) if (!pool.ending) await pool.end();
  }
}

function statusOf({ totalCount, idleCount, waitingCount, options }: pg.Pool): PoolStatus {
  return { open: totalCount, idle: idleCount, most: options.max, waiting: waitingCount };
}
function openPool(
  options: DatabaseOptions,
  settings: { max: number; pipeline?: boolean; lock_timeout?: number },
): pg.Pool {
  const pool = new pg.Pool({
    ...clientConfig(options),
    ...settings,
    connectionTimeoutMillis: 10_000,
    onConnect: async (client: pg.ClientBase) => {
      // A connection that breaks while it is held fails its query; unheard, the event would end the process.
      client.on('error', () => undefined);
      if (options.role !== undefined && options.directUrl === undefined)
        await client.query(`SET ROLE ${pg.escapeIdentifier(options.role)}`);
    },
  } as pg.PoolConfig);
  pool.on('error', (error) => options.onError?.(error));
  return pool;
}

function clientConfig(options: DatabaseOptions): pg.ClientConfig {
  // to compile a statement takes longer than any here runs: 70 ms for one of 1 ms, wherever many rows are thought possible
  const sessions = `-c jit=off ${ownOptions() ?? ''}`.trim();
  const settings = { statement_timeout: 30_000, idle_in_transaction_session_timeout: 60_000, options: sessions };
  return {
    application_name: 'tidemark',
    // a pooler refuses them as startup parameters
    ...(options.directUrl === undefined ? settings : {}),
    types,
    ...(typeof options.url === 'string' ? { connectionString: options.url } : options.url),
    ...given({ application_name: options.applicationName }),
    ...(options.directUrl === undefined
      ? given({
          statement_timeout: options.statementTimeout,
          idle_in_transaction_session_timeout: options.idleInTransactionTimeout,
        })
      : {}),
    keepAlive: true,
  };
}

/** What pg gives sessions when it is given nothing (PGOPTIONS): it does not add that to what is given. */
function ownOptions(): string | undefined {
  const { connectionParameters } = new pg.Client() as unknown as { connectionParameters: { options?: string } };
  return connectionParameters.options;
}

function given<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** How a pool reaches its database. pg-pool hides the password from a copy. */
function connectionOf({ options }: pg.Pool): pg.ClientConfig {
  return { ...options, ...('password' in options ? { password: options.password } : {}) };
}

/** The pool as Kysely gets it: Kysely would end it, used or not, whoever it belongs to. */
function kept(pool: pg.Pool): PostgresPool {
  const { Client } = pool as pg.Pool & Pick<PostgresPool, 'Client'>;
  const connect = () => pool.connect() as Promise<PostgresPoolClient>;
  return { ...(Client && { Client }), options: pool.options, connect, end: async () => undefined };
}
