import { randomUUID } from 'node:crypto';
import type { Kysely, Transaction } from 'kysely';
import { type Database, KernelError, translate } from '#libs/database';
import { Dispatcher, type Log } from '#libs/dispatch';
import { type Actor, actorSetting, Coalescer, ModelTransaction, type Resource, readEpoch } from '#libs/journal';
import { setActor } from './kernel.queries.ts';
import { checkTables } from './tables.ts';
import { version } from './version.ts';

export interface KernelOptions<DB> {
  readonly database: Database<DB>;
  readonly resources: readonly Resource[];
  /** What this process is called among the others; default `tidemark`. */
  readonly name?: string;
  readonly log: Log;
}

/** What a transaction has done: the highest tid it drew (null when nothing changed), its changes, and what the work returned. */
export interface Transacted<T> {
  readonly tid: number | null;
  readonly changes: number;
  readonly result: T;
}

/**
 * One journaled database as one process sees it: its resources, its transactions and its dispatcher. Several in one process do
 * not know of each other. Transactions work before start(); listeners and caches begin with it.
 */
export class Kernel<DB = unknown> {
  readonly database: Database<DB>;
  readonly resources: ReadonlyMap<string, Resource>;
  /** This kernel as the journal names it: a fresh UUID. */
  readonly origin: string = randomUUID();
  readonly dispatcher: Dispatcher;
  readonly #coalescer: Coalescer;
  readonly #log: Log;
  #epoch: string | undefined;
  #state: 'new' | 'started' | 'stopped' = 'new';

  constructor({ database, resources, name = 'tidemark', log }: KernelOptions<DB>) {
    this.database = database;
    this.resources = byName(resources);
    this.#coalescer = new Coalescer(database);
    this.#log = log;
    this.dispatcher = new Dispatcher({
      database: database as Database,
      origin: this.origin,
      name,
      version,
      log,
    });
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
    return new ModelTransaction<DB>({
      database: this.database as Database,
      origin: this.origin,
      coalescer: this.#coalescer,
      onCommit: () => this.wake(),
    });
  }

  /** Runs work as one unit and commits it. When the work or the commit throws, nothing has changed. */
  async transaction<T>(actor: Actor, work: (tx: ModelTransaction<DB>) => T | Promise<T>): Promise<Transacted<T>> {
    const tx = this.begin().prepare(actor);
    try {
      const result = await work(tx);
      return { ...(await tx.commit()), result };
    } catch (error) {
      await tx.rollback();
      throw error;
    }
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

  /** Lets the dispatcher of this process, and those of the others, look for new changes now. */
  wake(): void {
    if (this.#state === 'started') this.dispatcher.wake();
  }

  /**
   * Checks that every resource is journaled as defined (KernelError `configuration` names the tables that are not), and starts
   * the dispatcher. Listeners and caches are to be registered before.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new KernelError('conflict', `the kernel is ${this.#state} already`);
    try {
      await checkTables(this.database, [...this.resources.values()], this.#log);
      this.#epoch = await readEpoch(this.database);
      await this.dispatcher.start();
    } catch (error) {
      throw unfit(translate(error));
    }
    this.#state = 'started';
  }

  /** Stops the dispatcher; begins no transaction any more. The database stays open: whoever opened it closes it. */
  async stop(): Promise<void> {
    const before = this.#state;
    this.#state = 'stopped';
    if (before === 'started') await this.dispatcher.stop();
  }
}

/** Makes a kernel; it does nothing before start(). Throws `configuration` when two resources share a name or a table. */
export function createKernel<DB = unknown>(options: KernelOptions<DB>): Kernel<DB> {
  return new Kernel(options);
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
