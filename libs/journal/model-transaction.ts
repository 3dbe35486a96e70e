import { randomUUID } from 'node:crypto';
import type { Kysely, OperationNodeSource } from 'kysely';
import {
  type Connection,
  type ConnectionSource,
  type DatabaseError,
  KernelError,
  kyselyOver,
  translate,
  undo,
} from '#libs/database';
import { type Actor, actorSetting } from './actor.ts';
import { type PendingChange, stagedNode } from './changes.ts';
import type { Coalescer } from './coalescer.ts';
import { explain } from './explain.ts';
import {
  type Committed,
  drawnByNotices,
  execute,
  flushStatement,
  lockStatement,
  met,
  type Statement,
  settle,
} from './flush-statement.ts';
import { type Created, Outcome, type Saved, type SaveOptions, type Staged } from './outcome.ts';
import { type Key, keyCondition, keyValues, quoteTable, type Resource, type Row } from './resource.ts';
import { UnitOfWork } from './unit-of-work.ts';

export interface ModelTransactionOptions {
  readonly database: ConnectionSource;
  /** The process, as the journal names it. */
  readonly origin: string;
  /** Lets lone changes of concurrent transactions share a commit. */
  readonly coalescer?: Coalescer;
  readonly onCommit?: (committed: Committed) => void;
  /** A transaction that this one is a part of, and that somebody else commits. */
  readonly within?: Enclosing;
  /** The last thing in the database transaction of what has changed something; when it throws, nothing has. Such a commit is never shared. */
  readonly beforeCommit?: (tx: Connection) => Promise<void>;
}

/** An open transaction around ModelTransactions. Once a part of it was undone, it must not be committed. */
export interface Enclosing {
  readonly connection: Connection;
  undone: boolean;
}

/**
 * The unit of work through which a process changes model rows (Trac's Journaling Proposal, B-07): prepare, save, commit.
 *
 * Changes are buffered and flushed as one statement where they do not depend on each other, so the usual mutation is one round trip, one
 * tid, and either all of it is there afterwards or nothing. `read`, `lock` and `flush` open a database transaction before that.
 * Rows that exist are locked in key order before anything is changed, when there are several. Not for use by several callers at once.
 */
export class ModelTransaction<DB = unknown> {
  readonly #options: ModelTransactionOptions;
  readonly #name = randomUUID();
  readonly #work = new UnitOfWork();
  #actor: Actor | undefined;
  #opening: Promise<Connection> | undefined;
  #read: Kysely<DB> | undefined;
  #over = false;

  constructor(options: ModelTransactionOptions) {
    this.#options = options;
  }

  /** Says who acts. To be called before anything is flushed, read or locked. */
  prepare(actor: Actor): this {
    this.#actor = actor;
    return this;
  }

  /** Creates a row. The key may be given; otherwise the database makes it, and it is known after the flush. */
  create<R>(resource: Resource<R>, values: Partial<R>): Created<R> {
    const made = new Outcome<Row>(`the new ${resource.name}`);
    this.#add({ kind: 'create', resource, values: { ...values } as Row, done: made.settle });
    return {
      get row(): R {
        return made.value as R;
      },
    };
  }

  /** Changes fields of a row. If the row is not there, or not at `ifVersion`, the flush fails: `not_found` or `stale`. */
  save<R>(resource: Resource<R>, key: Key, values: Partial<R>, options: SaveOptions<R> = {}): Saved<R> {
    const saved = new Outcome<Row | undefined>(`the saved ${resource.name}`);
    const { ifVersion, when, returning = when && [] } = options;
    this.#add({
      ...{ kind: 'save', resource, key, values: { ...values } as Row, ifVersion, done: saved.settle },
      ...{ when: when as Row | undefined, ...(returning === undefined ? {} : { returning }) },
    });
    return {
      get row(): Partial<R> | undefined {
        return saved.value as Partial<R> | undefined;
      },
    };
  }

  /** Deletes a row. If it is not there, or not at `ifVersion`, the flush fails: `not_found` or `stale`. */
  delete<R>(resource: Resource<R>, key: Key, options: { ifVersion?: number } = {}): void {
    this.#add({ kind: 'delete', resource, key, ...options });
  }

  /** Takes any Kysely insert, update or delete builder into the flush; with `returning` its rows are known afterwards. */
  stage(builder: OperationNodeSource): Staged {
    const made = new Outcome<Row[]>('the staged statement');
    this.#add({ kind: 'stage', node: stagedNode(builder), done: made.settle });
    return {
      get rowCount(): number {
        return made.value.length;
      },
      get rows(): Row[] {
        return made.value;
      },
    };
  }

  /** Reads inside this transaction: sees what was flushed. */
  get read(): Kysely<DB> {
    this.#assertOpen();
    this.#read ??= kyselyOver<DB>(() => this.#open());
    return this.#read;
  }

  /** Locks a row against other writers until the end, and returns it; undefined when there is none. */
  async lock<R>(resource: Resource<R>, key: Key): Promise<R | undefined> {
    this.#assertOpen();
    const connection = await this.#open();
    const { rows } = await this.#run(connection, {
      text: `SELECT * FROM ${quoteTable(resource.table)} WHERE ${keyCondition(resource)} FOR UPDATE`,
      parameters: [...keyValues(resource, key)],
    });
    return rows[0] as R | undefined;
  }

  /** Writes the buffered changes now, inside the transaction. */
  async flush(): Promise<void> {
    this.#assertOpen();
    if (this.#work.size > 0) await this.#write(await this.#open(), this.#work.takeStatements());
  }

  /** Flushes and commits. Nothing is announced before that; afterwards this transaction is over. */
  async commit(): Promise<Committed> {
    this.#assertOpen();
    const statements = this.#work.takeStatements();
    const committed =
      this.#opening === undefined && statements.length <= (this.#options.beforeCommit ? 0 : 1) && !this.#options.within
        ? await this.#commitAtOnce(statements[0] ?? [])
        : await this.#commitOpened(statements);
    if (committed.tid !== null) this.#options.onCommit?.(committed);
    return committed;
  }

  /** Undoes what was flushed and drops the rest. Does nothing when the transaction is over. */
  async rollback(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    const connection = await this.#opening?.catch(() => undefined);
    if (!connection) return;
    if (this.#options.within) {
      this.#options.within.undone = true;
      return;
    }
    await undo(connection);
  }

  /** One statement in autocommit. It may be repeated after a deadlock: nothing of it is left then. */
  async #commitAtOnce(changes: readonly PendingChange[]): Promise<Committed> {
    if (changes.length === 0) {
      this.#over = true;
      return { tid: null, changes: 0 };
    }
    const shared = await this.#commitShared(changes);
    if (shared) return shared;
    const statement = this.#flushOf(changes, true);
    const connection = await this.#options.database.connect();
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          const answer = await execute(connection, statement);
          settle(changes, answer.rows[0] ?? {});
          return drawnByNotices(answer.notices);
        } catch (error) {
          if (attempt === 3 || !RETRIABLE.has((error as DatabaseError).code ?? '')) throw error;
        }
      }
    } catch (error) {
      // On the same connection: when each of a pool's had failed and asked for another, none would come.
      throw await explain(connection, error, changes);
    } finally {
      this.#over = true;
      connection.release();
    }
  }

  /** A lone save or delete in the company of others; undefined when it has to be run alone. */
  async #commitShared(changes: readonly PendingChange[]): Promise<Committed | undefined> {
    const [lone] = changes;
    const { coalescer } = this.#options;
    if (!coalescer || changes.length !== 1 || (lone?.kind !== 'save' && lone?.kind !== 'delete')) return undefined;
    const flush = randomUUID();
    const statement = flushStatement(changes, this.#setting({ flush }), false);
    const key = keyValues(lone.resource, lone.key);
    try {
      const answer = await coalescer.run({ statement, flush, table: lone.resource.table, key });
      if (answer === 'alone') return undefined;
      this.#over = true;
      settle(changes, met(statement, answer).rows[0] ?? {});
      return drawnByNotices(answer.notices);
    } catch (error) {
      this.#over = true;
      throw await explain(this.#options.database, error, changes);
    }
  }

  async #commitOpened(statements: readonly PendingChange[][]): Promise<Committed> {
    const connection = await this.#open();
    await this.#write(connection, statements);
    const { rows } = await this.#run(connection, DRAWN);
    const { tid, changes } = rows[0] as { tid: string | null; changes: string | null };
    if (!this.#options.within) {
      if (tid !== null) await this.#orUndo(async () => this.#options.beforeCommit?.(connection));
      await this.#run(connection, { text: 'COMMIT', parameters: [] });
      connection.release();
    }
    this.#over = true;
    return { tid: tid === null ? null : Number(tid), changes: Number(changes ?? 0) };
  }

  async #write(connection: Connection, statements: readonly PendingChange[][]): Promise<void> {
    const locks = statements.length > 1 ? lockStatement(statements.flat()) : undefined;
    if (locks) await this.#run(connection, locks);
    for (const changes of statements) {
      const { rows } = await this.#run(connection, this.#flushOf(changes, statements.length === 1), changes);
      settle(changes, rows[0] ?? {});
    }
  }

  #run(connection: Connection, statement: Statement, changes?: readonly PendingChange[]): Promise<{ rows: Row[] }> {
    return this.#orUndo(() => execute(connection, statement), changes);
  }

  /** Runs a part of the opened transaction; whatever fails ends the whole of it. */
  async #orUndo<T>(work: () => Promise<T>, changes: readonly PendingChange[] = []): Promise<T> {
    try {
      return await work();
    } catch (error) {
      await this.rollback();
      throw await explain(this.#options.database, error, changes);
    }
  }

  #open(): Promise<Connection> {
    this.#opening ??= this.#begin();
    return this.#opening;
  }

  async #begin(): Promise<Connection> {
    const actor = this.#setting({});
    const { within, database } = this.#options;
    const connection = within?.connection ?? (await database.connect());
    try {
      if (!within) await connection.query('BEGIN');
      await connection.query(`SELECT set_config('tidemark.actor', $1, true)`, [actor]);
      return connection;
    } catch (error) {
      if (!within) connection.release(error as Error);
      throw translate(error);
    }
  }

  #flushOf(changes: readonly PendingChange[], withLocks: boolean): Statement {
    return flushStatement(changes, this.#setting({ flush: randomUUID() }), withLocks);
  }

  #setting(names: { flush?: string }): string {
    if (!this.#actor) throw new KernelError('invalid', 'prepare(actor) first: a change needs an author');
    return actorSetting(this.#actor, this.#options.origin, { ...names, transaction: this.#name });
  }

  #add(change: PendingChange): void {
    this.#assertOpen();
    this.#work.add(change);
  }

  #assertOpen(): void {
    if (this.#over) throw new KernelError('conflict', 'this ModelTransaction is over: begin another one');
  }
}

const DRAWN: Statement = { text: 'SELECT tid, changes FROM tidemark.drawn()', parameters: [] };
/** Deadlock and serialization failure: the statement has left nothing behind. */
const RETRIABLE = new Set(['40P01', '40001']);
