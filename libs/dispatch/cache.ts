import type { Kysely } from 'kysely';
import {
  type Connection,
  type ConnectionSource,
  KernelError,
  kyselyOver,
  runInTransaction,
  SNAPSHOT,
} from '#libs/database';
import { frontier, type JournalEntry, type Position } from '#libs/journal';
import { Alarm, backoff, reason } from './alarm.ts';
import { highestTid } from './dispatch.queries.ts';
import type { Feed } from './feed.ts';
import type { Log } from './listener.ts';
import { after, wholeTid } from './page.ts';

/** State kept in memory, derived from model rows and kept current by the journal. */
export interface CacheDefinition<S> {
  readonly name: string;
  readonly resources: readonly string[];
  /** Reads the state as of one snapshot. */
  // biome-ignore lint/suspicious/noExplicitAny: the caller's own database type
  load(db: Kysely<any>): Promise<S>;
  /**
   * Applies one change and returns the new state, or changes it in place. Entries that the snapshot already held come again
   * after loading, in tid order: applying must depend on the entry's values only, never count.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: `return` may be left out
  apply(state: S, entry: JournalEntry): S | void;
}

export interface Cache<S> {
  /** KernelError `unavailable` while it is not loaded. */
  readonly state: S;
  /** Up to this tid every change is applied; -1 while it is not loaded. */
  readonly position: number;
}

export interface CacheStatus {
  readonly name: string;
  readonly state: 'loading' | 'loaded' | 'broken';
  readonly position: number;
  readonly loads: number;
  readonly lastError: string | null;
}

export interface CacheLoopOptions {
  readonly database: ConnectionSource;
  readonly log: Log;
  openFeed(options: { after: Position; wants: (entry: JournalEntry) => boolean }): Feed;
  /** Called when the cache has come further. */
  moved(): void;
}

/** Loads a cache and follows the journal from its snapshot; one that fails is loaded anew. */
export class CacheLoop<S> implements Cache<S> {
  readonly #definition: CacheDefinition<S>;
  readonly #options: CacheLoopOptions;
  readonly #pause = new Alarm();
  #state: S | undefined;
  #phase: CacheStatus['state'] = 'loading';
  #position = -1;
  #loads = 0;
  #failures = 0;
  #lastError: string | null = null;

  constructor(definition: CacheDefinition<S>, options: CacheLoopOptions) {
    this.#definition = definition;
    this.#options = options;
  }

  get state(): S {
    if (this.#phase === 'loaded') return this.#state as S;
    throw new KernelError('unavailable', `the cache ${this.#definition.name} is not loaded yet`);
  }

  get position(): number {
    return this.#phase === 'loaded' ? this.#position : -1;
  }

  get status(): CacheStatus {
    const { name } = this.#definition;
    return { name, state: this.#phase, position: this.position, loads: this.#loads, lastError: this.#lastError };
  }

  /** Runs until its feed ends or the signal comes. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#pause.ring(), { once: true });
    while (!signal.aborted) {
      try {
        await this.#loadAndFollow();
        return;
      } catch (error) {
        this.#failures += 1;
        this.#lastError = reason(error);
        this.#phase = 'broken';
        this.#state = undefined;
        const about = { err: error, cache: this.#definition.name };
        this.#options.log.error(about, 'a cache failed and will be loaded anew');
        await this.#pause.wait(backoff(this.#failures, 50, 5_000));
      }
    }
  }

  /**
   * The safe tid is taken before the snapshot, so nothing between the two is missed; what the snapshot holds beyond it comes
   * again. Only when all that has been applied is the state shown: before, it may step back.
   */
  async #loadAndFollow(): Promise<void> {
    const { safe } = await frontier(this.#options.database);
    const held = await this.#load();
    const { resources } = this.#definition;
    const feed = this.#options.openFeed({ after: { tid: safe }, wants: (entry) => resources.includes(entry.resource) });
    try {
      this.#reached(safe, held);
      for (let batch = await feed.next(); batch; batch = await feed.next()) {
        for (const entry of batch.entries) this.#apply(entry);
        this.#reached(wholeTid(batch.position), held);
      }
    } finally {
      feed.close();
    }
  }

  /** Reads the state from one snapshot, and the highest tid which that holds. */
  async #load(): Promise<number> {
    const load = async (connection: Connection) => {
      const held = await highestTid(connection);
      return { held, state: await this.#definition.load(kyselyOver(async () => connection)) };
    };
    const { held, state } = await runInTransaction(this.#options.database, load, SNAPSHOT);
    this.#state = state;
    this.#phase = 'loading';
    this.#loads += 1;
    return held;
  }

  #apply(entry: JournalEntry): void {
    try {
      this.#state = this.#definition.apply(this.#state as S, entry) ?? (this.#state as S);
    } catch (error) {
      const about = { err: error, cache: this.#definition.name, ...after(entry) };
      this.#options.log.error(about, 'a cache could not apply a change');
      throw error;
    }
  }

  #reached(tid: number, held: number): void {
    this.#position = tid;
    if (tid >= held) {
      this.#phase = 'loaded';
      this.#failures = 0;
      this.#lastError = null;
    }
    this.#options.moved();
  }
}
