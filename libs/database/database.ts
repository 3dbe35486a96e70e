import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { type Answer, Connection, type ConnectionSource } from './connection.ts';

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
export class Database<DB = unknown> implements ConnectionSource {
  readonly options: DatabaseOptions;
  readonly pool: pg.Pool;
  readonly kysely: Kysely<DB>;

  private constructor(options: DatabaseOptions) {
    this.options = options;
    this.pool = new pg.Pool({
      ...clientConfig(options),
      max: options.poolSize ?? 10,
      connectionTimeoutMillis: 10_000,
      onConnect: async (client: pg.ClientBase) => {
        // A connection that breaks while it is held fails its query; unheard, the event would end the process.
        client.on('error', () => undefined);
        if (options.role !== undefined) await client.query(`SET ROLE ${pg.escapeIdentifier(options.role)}`);
      },
    } as pg.PoolConfig);
    this.pool.on('error', (error) => options.onError?.(error));
    this.kysely = new Kysely<DB>({ dialect: new PostgresDialect({ pool: this.pool }) });
  }

  static open<DB = unknown>(options: DatabaseOptions): Database<DB> {
    return new Database<DB>(options);
  }

  /** Takes a connection out of the pool; it must be released. */
  async connect(): Promise<Connection> {
    return new Connection(await this.pool.connect());
  }

  async query<R = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
    name?: string,
  ): Promise<Answer<R>> {
    const config = { text, values: [...values], ...(name === undefined ? {} : { name }) };
    const { rows, rowCount } = await this.pool.query(config);
    return { rows: rows as R[], rowCount: rowCount ?? 0, notices: [] };
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
    if (!this.pool.ending) await this.pool.end();
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
