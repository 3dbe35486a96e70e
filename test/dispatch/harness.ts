import { randomUUID } from 'node:crypto';
import { type Connection, Database } from '#libs/database';
import { Dispatcher, type Log } from '#libs/dispatch';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

/** Messages that a part of the program logged, instead of printing them. */
export class RecordedLog implements Log {
  readonly lines: { level: string; about: Record<string, unknown>; message: string }[] = [];
  debug = this.#at('debug');
  info = this.#at('info');
  warn = this.#at('warn');
  error = this.#at('error');

  #at(level: string) {
    return (about: object, message: string): void => {
      this.lines.push({ level, about: about as Record<string, unknown>, message });
    };
  }
}

/** A database of its own with a journaled table `item (id, name, n)`, and dispatchers on it that are stopped at the end. */
export interface Harness {
  readonly test: TestDatabase;
  /** With the rights of the owner: it may also mute effects. */
  readonly owner: Database;
  /** With the rights of the program. */
  readonly app: Database;
  readonly log: RecordedLog;
  dispatcher(options?: { origin?: string; name?: string }): Dispatcher & { origin: string };
  /** Runs statements in one transaction, as an actor; returns the highest tid. */
  change(sql: string, actor?: { origin?: string; meta?: object }): Promise<number>;
  close(): Promise<void>;
}

export const ITEM = `
  CREATE TABLE item (id bigint PRIMARY KEY, name text, n integer NOT NULL DEFAULT 0);
  SELECT tidemark.journal_table('item', row_version => true);
  GRANT SELECT, INSERT, UPDATE, DELETE ON item TO tidemark_app;`;

export async function harness(setUp: string = ITEM): Promise<Harness> {
  const test = await testDatabase();
  const owner = Database.open({ url: test.ownerUrl, poolSize: 20 });
  const app = Database.open({ url: test.url, poolSize: 20 });
  await owner.query(setUp);
  const log = new RecordedLog();
  const started: Dispatcher[] = [];
  return {
    ...{ test, owner, app, log },
    dispatcher(options = {}) {
      const origin = options.origin ?? randomUUID();
      const name = options.name ?? 'test';
      const dispatcher = new Dispatcher({ database: app, origin, name, version: '0', log });
      started.push(dispatcher);
      return Object.assign(dispatcher, { origin });
    },
    change: (sql, actor) => change(owner, sql, actor),
    async close() {
      for (const connection of open) connection.release(new Error('left open by a test that failed'));
      open.clear();
      await Promise.all(started.map((dispatcher) => dispatcher.stop()));
      await Promise.all([owner.close(), app.close()]);
      await test.drop();
    },
  };
}

/** Runs statements in one transaction, as an actor; returns the highest tid they drew. */
export async function change(database: Database, sql: string, actor: object = {}): Promise<number> {
  return inTransaction(database, async (connection) => {
    await connection.query("SELECT set_config('tidemark.actor', $1, true)", [
      JSON.stringify({ author: 'joe', ...actor }),
    ]);
    await connection.query(sql);
    const { rows } = await connection.query<{ tid: number }>('SELECT tid FROM tidemark.drawn()');
    return rows[0]?.tid ?? 0;
  });
}

export async function inTransaction<T>(database: Database, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await database.connect();
  try {
    await connection.query('BEGIN');
    const result = await work(connection);
    await connection.query('COMMIT');
    connection.release();
    return result;
  } catch (error) {
    connection.release(error as Error);
    throw error;
  }
}

const open = new Set<Connection>();

/** A transaction that stays open until it is told to end. */
export async function openTransaction(
  database: Database,
  sql: string,
): Promise<{ pid: number; end(how?: 'COMMIT' | 'ROLLBACK'): Promise<void> }> {
  const connection = await database.connect();
  open.add(connection);
  await connection.query('BEGIN');
  await connection.query(sql);
  const { rows } = await connection.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return {
    pid: rows[0]?.pid as number,
    async end(how = 'COMMIT') {
      await connection.query(how);
      open.delete(connection);
      connection.release();
    },
  };
}
