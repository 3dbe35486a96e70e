import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import {
  type Answer,
  Connection,
  type ConnectionSource,
  type PipelinedStatement,
  type PipelineSource,
  queryConfig,
} from './connection.ts';
import { isUnreachable, translate } from './errors.ts';

export interface DatabaseOptions {
  readonly url: string;
  /** Connections at most; default 10. */
  readonly poolSize?: number;
  readonly applicationName?: string;
  /** Milliseconds a statement may take; default 30,000. */
  readonly statementTimeout?: number;
  /** Milliseconds a transaction may sit idle, holding the tail if it has journaled something; default 60,000. */
  readonly idleInTransactionTimeout?: number;
  /** A role to work as on every connection: `tidemark_app` where the login role is the owner. */
  readonly role?: string;
  /** Told of connections that break while nobody uses them. */
  readonly onError?: (error: Error) => void;
}

/** A connection outside the pool, for LISTEN. */
export type ListenClient = pg.Client;

/** A PostgreSQL database: a pool of connections, and Kysely over the same pool. Connects at the first statement. */
export class Database<DB = unknown> implements ConnectionSource, PipelineSource {
  readonly options: DatabaseOptions;
  readonly pool: pg.Pool;
  readonly kysely: Kysely<DB>;
  /** A client that pipelines refuses cursors, so these few stand apart. They wait for no lock for long: others wait behind. */
  readonly #pipelines: pg.Pool;

  private constructor(options: DatabaseOptions) {
    this.options = options;
    this.pool = openPool(options, { max: options.poolSize ?? 10 });
    this.#pipelines = openPool(options, { max: 2, pipeline: true, lock_timeout: 100 });
    this.kysely = new Kysely<DB>({ dialect: new PostgresDialect({ pool: this.pool }) });
  }

  static open<DB = unknown>(options: DatabaseOptions): Database<DB> {
    return new Database<DB>(options);
  }

  /** Takes a connection out of the pool; it must be released. KernelError `unavailable` when there is none to be had. */
  async connect(): Promise<Connection> {
    try {
      return new Connection(await this.pool.connect());
    } catch (error) {
      throw translate(error);
    }
  }

  async query<R = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
    name?: string,
  ): Promise<Answer<R>> {
    const { rows, rowCount } = await this.pool.query(queryConfig(text, values, name));
    return { rows: rows as R[], rowCount: rowCount ?? 0, notices: [] };
  }

  async pipeline(
    statements: readonly PipelinedStatement[],
  ): Promise<Answer<Record<string, unknown>>[] | { undone: number }> {
    const client = await this.#pipelines.connect().catch((error: unknown) => {
      throw translate(error);
    });
    const said = new Map<string, { code: string; message: string }[]>(statements.map(({ flush }) => [flush, []]));
    const listen = ({ code = '', message = '' }: { code?: string | undefined; message?: string | undefined }) => {
      said.get(message.slice(message.lastIndexOf(' ') + 1))?.push({ code, message });
    };
    client.on('notice', listen);
    const together = statements.length > 1;
    const sent = [
      ...(together ? [client.query('BEGIN')] : []),
      ...statements.map(({ text, parameters, name }) => client.query(queryConfig(text, parameters, name))),
      ...(together ? [client.query('COMMIT')] : []),
    ];
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

  /** Opens a connection of its own; the caller listens to `error`, and ends it. */
  async listenClient(): Promise<ListenClient> {
    const client = new pg.Client({ ...clientConfig(this.options), connectionTimeoutMillis: 10_000 });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  async close(): Promise<void> {
    await this.kysely.destroy();
    // Kysely ends the pool only if it has used it
    for (const pool of [this.pool, this.#pipelines]) if (!pool.ending) await pool.end();
  }
}

/** bigint arrives as a number where that is exact, else as its digits. */
const types = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    if (oid === pg.types.builtins.INT8 && format !== 'binary') return parseBigint;
    return pg.types.getTypeParser(oid, format as 'text');
  },
} as pg.CustomTypesConfig;

function parseBigint(digits: string): number | string {
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : digits;
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
      if (options.role !== undefined) await client.query(`SET ROLE ${pg.escapeIdentifier(options.role)}`);
    },
  } as pg.PoolConfig);
  pool.on('error', (error) => options.onError?.(error));
  return pool;
}

function clientConfig(options: DatabaseOptions): pg.ClientConfig {
  return {
    connectionString: options.url,
    application_name: options.applicationName ?? 'tidemark',
    statement_timeout: options.statementTimeout ?? 30_000,
    idle_in_transaction_session_timeout: options.idleInTransactionTimeout ?? 60_000,
    keepAlive: true,
    types,
  };
}
