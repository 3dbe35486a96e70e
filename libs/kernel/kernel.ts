import { randomUUID } from 'node:crypto';
import type { Kysely, Transaction } from 'kysely';
import { Permissions, type PermissionTable } from '#libs/access';
import { type Database, KernelError, kyselyOver, runInTransaction, translate } from '#libs/database';
import { Dispatcher, type Log } from '#libs/dispatch';
import { EffectLedger, type EffectListener } from '#libs/effects';
import { type CheckDefinition, Integrity, type RuleDefinition, Rules } from '#libs/integrity';
import {
  type Actor,
  actorSetting,
  Coalescer,
  type Enclosing,
  ModelTransaction,
  type Resource,
  readEpoch,
  type Transacted,
  type Writer,
} from '#libs/journal';
import { type Projection, Projections } from '#libs/projection';
import { drawnTid, setActor } from './kernel.queries.ts';
import { checkMigrated } from './migrated.ts';
import { processWarnings } from './process-warnings.ts';
import { type DatabaseSource, openSource } from './source.ts';
import { checkTables } from './tables.ts';
import { version } from './version.ts';

export type KernelOptions<DB> = DatabaseSource<DB> & {
  readonly resources: readonly Resource[];
  /** What this process is called among the others; default `tidemark`. */
  readonly name?: string;
  /** pino fits; without one, warnings and errors become warnings of the process. */
  readonly log?: Log;
  /** The permissions of resources that are not Tidemark's own. */
  readonly permissions?: PermissionTable;
  /** Days for which effects that are done stay in the ledger; default 7. */
  readonly effectKeepDays?: number;
  /** Kept current by this process and all others that know them; registered by a migration, with `tidemark.projection()`. */
  readonly projections?: readonly Projection[];
  /** Checks beside those that every kernel has. */
  readonly checks?: readonly CheckDefinition[];
  /** Rules in code, beside those that projects have as data. */
  readonly consistencyRules?: readonly RuleDefinition[];
  /** How many rows a second all processes together check by themselves; default 0: none. */
  readonly checkRowsPerSecond?: number;
};

/**
 * One journaled database as one process sees it: its resources, its transactions and its dispatcher. Several in one process do
 * not know of each other. Transactions work before start(); listeners and caches begin with it.
 */
export class Kernel<DB = unknown> implements Writer<DB> {
  readonly database: Database<DB>;
  readonly resources: ReadonlyMap<string, Resource>;
  /** This kernel as the journal names it: a fresh UUID. */
  readonly origin: string = randomUUID();
  readonly open = false;
  readonly dispatcher: Dispatcher;
  readonly effects: EffectLedger;
  readonly projections: Projections;
  readonly integrity: Integrity;
  readonly rules: Rules;
  /** Who may do what here. */
  readonly permissions: Permissions;
  readonly #coalescer: Coalescer | undefined;
  readonly #opened: boolean;
  readonly #log: Log;
  #epoch: string | undefined;
  #state: 'new' | 'started' | 'stopping' | 'stopped' = 'new';

  constructor(options: KernelOptions<DB>) {
    const {
      resources,
      name = 'tidemark',
      log = processWarnings,
      permissions,
      projections = [],
      checks = [],
      consistencyRules = [],
      checkRowsPerSecond = 0,
      effectKeepDays,
      ...source
    } = options;
    this.resources = byName(resources);
    this.rules = new Rules(consistencyRules, log);
    this.permissions = new Permissions(permissions);
    const { database, opened } = openSource<DB>(source as DatabaseSource<DB>, { name, log });
    this.database = database;
    this.#opened = opened;
    this.#coalescer = database.pipelines ? new Coalescer(database) : undefined;
    this.#log = log;
    this.dispatcher = new Dispatcher({
      database: database as Database,
      origin: this.origin,
      name,
      version,
      log,
      listeners: () => this.effects.names,
    });
    this.effects = new EffectLedger({
      ...{ database: database as Database, dispatcher: this.dispatcher, origin: this.origin, name, log },
      ...(effectKeepDays === undefined ? {} : { keepDays: effectKeepDays }),
      atomic: (work) => this.atomic(work as never),
    });
    this.projections = new Projections({
      ...{ database: database as Database, dispatcher: this.dispatcher, origin: this.origin, log },
    });
    for (const projection of projections) this.projections.add(projection);
    this.integrity = new Integrity({
      ...{ database: database as Database, writer: this as Writer, log, rowsPerSecond: checkRowsPerSecond },
      atomic: (work) => this.atomic(work as never),
      projections: () => this.projections.all,
    });
    for (const check of checks) this.integrity.add(check);
  }

  /** Adds a listener: its `onPrimary` is called for effects, its `onSecondary` for the changes of others. Before start(). */
  listen(listener: EffectListener): void {
    this.dispatcher.listen(listener);
    this.effects.listen(listener);
  }

  get db(): Kysely<DB> {
    return this.database.kysely;
  }

  /** The name of this database's journal, part of every cursor. Known after start(); throws `unavailable` before. */
  get epoch(): string {
    if (this.#epoch === undefined) throw new KernelError('unavailable', 'the kernel has not been started');
    return this.#epoch;
  }

  /** Begins a unit of work; prepare it with an actor, then commit or roll back. Takes no connection yet. */
  begin(): ModelTransaction<DB> {
    if (this.#state === 'stopped') throw new KernelError('unavailable', 'the kernel is stopped');
    const { beforeCommit } = this.projections;
    return new ModelTransaction<DB>({
      database: this.database as Database,
      origin: this.origin,
      ...(this.#coalescer && { coalescer: this.#coalescer }),
      ...(beforeCommit && { beforeCommit }),
      onCommit: () => this.wake(),
    });
  }

  /** Runs work as one unit and commits it. When the work or the commit throws, nothing has changed. */
  transaction<T>(actor: Actor, work: (tx: ModelTransaction<DB>) => T | Promise<T>): Promise<Transacted<T>> {
    return transact(this.begin().prepare(actor), work);
  }

  /**
   * Runs work that writes through a Writer, and commits all of it at once: its transactions, and what it runs on `database`. When the work
   * or the commit throws, nothing has changed. Holds a connection, and from the first change on the journal's floor: not for slow work.
   */
  async atomic<T>(work: (writer: Writer<DB>) => Promise<T>): Promise<T> {
    if (this.#state === 'stopped') throw new KernelError('unavailable', 'the kernel is stopped');
    try {
      const { result, changed } = await runInTransaction(this.database, async (connection) => {
        const within: Enclosing = { connection, undone: false };
        const result = await work(this.#writerWithin(within));
        if (within.undone) throw new KernelError('conflict', 'a part of the transaction was undone');
        // Fails in a transaction that has failed; COMMIT would undo that one without a word.
        const changed = (await drawnTid(connection)) !== null;
        if (changed) await this.projections.beforeCommit?.(connection);
        return { result, changed };
      });
      if (changed) this.wake();
      return result;
    } catch (error) {
      throw translate(error);
    }
  }

  #writerWithin(within: Enclosing): Writer<DB> {
    const options = { database: this.database as Database, origin: this.origin, within };
    return {
      open: true,
      database: within.connection,
      db: kyselyOver<DB>(async () => within.connection),
      transaction: (actor, work) => transact(new ModelTransaction<DB>(options).prepare(actor), work),
    };
  }

  /**
   * Journals the rest of the host's own Kysely transaction under an actor. The host commits, and calls wake() afterwards: without
   * it the change is noticed by the next poll, within 250 ms. Throws `invalid` outside a transaction.
   */
  async join(trx: Transaction<DB>, actor: Actor): Promise<void> {
    if (!trx.isTransaction) {
      throw new KernelError(
        'invalid',
        'join() needs a Kysely transaction: outside one the actor would be forgotten at once',
      );
    }
    try {
      await setActor(trx, actorSetting(actor, this.origin));
    } catch (error) {
      throw translate(error);
    }
  }

  /**
   * Waits until the caches of this process have applied a tid, and the projections that are named reflect it. KernelError `malformed` when the
   * journal does not reach that far, `not_caught_up` when it takes longer than the time-out, in milliseconds (5 s unless given).
   */
  async waitFor(
    tid: number,
    { projections = [], timeout = 5_000 }: { projections?: readonly string[]; timeout?: number } = {},
  ): Promise<void> {
    const end = performance.now() + timeout;
    await this.dispatcher.waitFor(tid, { timeout });
    if (projections.length === 0) return;
    await this.projections.waitFor(tid, { names: projections, timeout: Math.max(0, end - performance.now()) });
  }

  /** Lets the dispatcher of this process, and those of the others, look for new changes now. */
  wake(): void {
    if (this.#state === 'started') this.dispatcher.wake();
  }

  /**
   * Checks that the database is migrated and every resource journaled as defined (KernelError `configuration` says what is not), and
   * starts the dispatcher. Listeners and caches are to be registered before.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new KernelError('conflict', `the kernel is ${this.#state} already`);
    try {
      await checkMigrated(this.database);
      await checkTables(this.database, [...this.resources.values()], this.#log);
      await this.projections.check();
      this.#epoch = await readEpoch(this.database);
      await this.dispatcher.start();
      await this.#startWork();
    } catch (error) {
      throw unfit(translate(error));
    }
    this.#state = 'started';
  }

  /** Stops the dispatcher; begins no transaction any more. The database stays open. */
  async stop(): Promise<void> {
    if (this.#state === 'stopping') return;
    const started = this.#state === 'started';
    // effects that run may still write
    this.#state = 'stopping';
    if (started) await this.#stopWork();
    this.#state = 'stopped';
    if (started) await this.dispatcher.stop();
  }

  /** What follows the dispatcher. When it cannot begin, nothing goes on that nobody would end. */
  async #startWork(): Promise<void> {
    try {
      await this.effects.start();
      this.projections.start();
      this.integrity.start();
    } catch (error) {
      await this.#stopWork();
      await this.dispatcher.stop();
      throw error;
    }
  }

  async #stopWork(): Promise<void> {
    await this.integrity.stop();
    await this.effects.stop();
    await this.projections.stop();
  }

  /** Stops, and closes the connections that this kernel has opened: not the host's pool, nor a Database that it was given. */
  async close(): Promise<void> {
    await this.stop();
    if (this.#opened) await this.database.close();
  }
}

/**
 * Makes a kernel; it does nothing before start(). The tables are the host's own type: `createKernel<ShopTables>({ pool, resources })`.
 * Throws `configuration` when two resources share a name or a table, and unless it is told of one database.
 */
export function createKernel<DB = unknown>(options: KernelOptions<DB>): Kernel<DB> {
  return new Kernel(options);
}

async function transact<DB, T>(
  tx: ModelTransaction<DB>,
  work: (tx: ModelTransaction<DB>) => T | Promise<T>,
): Promise<Transacted<T>> {
  try {
    const result = await work(tx);
    return { ...(await tx.commit()), result };
  } catch (error) {
    await tx.rollback();
    throw error;
  }
}

// At start a missing right is a matter of the set-up, not of whoever makes a request.
function unfit(error: unknown): unknown {
  if (!(error instanceof KernelError) || error.code !== 'forbidden') return error;
  const said = (error.cause as Error | undefined)?.message ?? error.message;
  return new KernelError('configuration', `the program's database role lacks a right: ${said}`, { cause: error });
}

function byName(resources: readonly Resource[]): ReadonlyMap<string, Resource> {
  const names = new Map<string, Resource>();
  const tables = new Map<string, Resource>();
  for (const resource of resources) {
    if (names.has(resource.name)) {
      throw new KernelError('configuration', `two resources are called ${resource.name}`);
    }
    const other = tables.get(resource.table);
    if (other) {
      throw new KernelError(
        'configuration',
        `the resources ${other.name} and ${resource.name} share the table ${resource.table}`,
      );
    }
    names.set(resource.name, resource);
    tables.set(resource.table, resource);
  }
  return names;
}
