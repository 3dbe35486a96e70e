import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from 'kysely';
import pg from 'pg';
import { KernelError } from './errors.ts';

export interface Answer<R> {
  readonly rows: R[];
  readonly rowCount: number;
  /** What the server said beside the result: a flush's tid comes this way. */
  readonly notices: readonly { code: string; message: string }[];
}

/** What statements are run on: a Database (any free connection) or a Connection. `name` prepares the statement under it. */
export interface Queryable {
  query<R = Record<string, unknown>>(text: string, values?: readonly unknown[], name?: string): Promise<Answer<R>>;
}

/** Where connections come from: a Database, whatever its tables. */
export interface ConnectionSource extends Queryable {
  /** Takes a connection out of the pool; it must be released. */
  connect(): Promise<Connection>;
}

/** A statement of a pipeline. What the server says of it bears its flush's name. */
export interface PipelinedStatement {
  readonly text: string;
  readonly parameters: readonly unknown[];
  readonly name?: string;
  readonly flush: string;
}

/** Where several statements are sent at once, as one transaction. */
export interface PipelineSource {
  /**
   * Runs the statements in one transaction (one alone in autocommit), all sent before the first answer. When one of several fails, or the
   * commit, nothing of them is left: `undone` is the place of the first that failed, or -1. A row that another session holds for long fails
   * a statement (55P03). Rejects with the error of one alone, or when the connection breaks: what was done then is unknown.
   */
  pipeline(statements: readonly PipelinedStatement[]): Promise<Answer<Record<string, unknown>>[] | { undone: number }>;
}

/** How Tidemark reads values, whatever the connection does by itself: bigint as a number where that is exact, else as its digits. */
export const types = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    if (oid === pg.types.builtins.INT8 && format !== 'binary') return parseBigint;
    return pg.types.getTypeParser(oid, format as 'text');
  },
} as pg.CustomTypesConfig;

function parseBigint(digits: string): number | string {
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : digits;
}

/** A statement as pg takes it: prepared where it has a name. */
export function queryConfig(text: string, values: readonly unknown[], name?: string): pg.QueryConfig {
  return { text, values: [...values], types, ...(name === undefined ? {} : { name }) };
}

/** One connection of the pool, held until released. Statements run one at a time. */
export class Connection implements Queryable {
  readonly client: pg.PoolClient;
  readonly #prepares: boolean;
  #notices: { code: string; message: string }[] = [];
  #over = false;
  readonly #listen = (notice: { code?: string | undefined; message?: string | undefined }): void => {
    this.#notices.push({ code: notice.code ?? '', message: notice.message ?? '' });
  };

  /** Without `prepares` the names of statements are left out: their sessions are not this connection's own. */
  constructor(client: pg.PoolClient, { prepares = true }: { prepares?: boolean } = {}) {
    this.client = client;
    this.#prepares = prepares;
    client.on('notice', this.#listen);
    // the pool does not hear of a connection that breaks while it is held; unheard, the event would end the process
    client.on('error', ignore);
  }

  async query<R = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
    name?: string,
  ): Promise<Answer<R>> {
    this.#notices = [];
    const { rows, rowCount } = await this.client.query(queryConfig(text, values, this.#prepares ? name : undefined));
    return { rows: rows as R[], rowCount: rowCount ?? 0, notices: this.#notices };
  }

  /** Whether what it was taken for has ended: what somebody still asks for would be done on its own, or in a transaction of others. */
  get over(): boolean {
    return this.#over;
  }

  /** Lets Kysely begin nothing more here. */
  end(): void {
    this.#over = true;
  }

  /** Gives the connection back; with an error it is closed instead. */
  release(error?: Error): void {
    this.#over = true;
    this.client.off('notice', this.#listen);
    this.client.off('error', ignore);
    this.client.release(error);
  }
}

function ignore(): void {}

/**
 * Kysely over one connection that is opened at the first query. Its queries run one after the other; the caller ends the connection, and those
 * that have not begun by then throw `conflict`.
 */
export function kyselyOver<DB>(open: () => Promise<Connection>): Kysely<DB> {
  let turn: Promise<void> = Promise.resolve();
  const pool: PostgresPool = {
    options: {},
    async connect(): Promise<PostgresPoolClient> {
      const connection = await open();
      const before = turn;
      const { promise, resolve } = Promise.withResolvers<void>();
      turn = promise;
      await before;
      if (connection.over) {
        resolve();
        throw new KernelError('conflict', 'the transaction that this was to be a part of is over');
      }
      const { client } = connection;
      return { query: client.query.bind(client), release: () => resolve() } as PostgresPoolClient;
    },
    async end() {},
  };
  return new Kysely<DB>({ dialect: new PostgresDialect({ pool }) });
}
