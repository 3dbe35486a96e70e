import type { Kysely } from 'kysely';
import { type ConnectionSource, KernelError, kyselyOver } from '#libs/database';
import { frontier, type JournalEntry, type Position } from '#libs/journal';
import { Alarm, backoff } from './alarm.ts';
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
  /** Opens a feed of the cache's resources; the caller closes it. */
  openFeed(after: Position): { feed: Feed; close(): void };
  /** Called when the cache has come further. */
  progress(): void;
}

/** Loads a cache and follows the journal from its snapshot; one that fails is loaded anew. */
export class CacheLoop<S> implements Cache<S> {
  readonly #definition: CacheDefinition<S>;
  readonly #pause = new Alarm();
  #state: S | undefined;
  #phase: CacheStatus['state'] = 'loading';
  #position = -1;
  #loads = 0;
  #failures = 0;
  #lastError: string | null = null;

  constructor(definition: CacheDefinition<S>) {
    this.#definition = definition;
  }

  get state(): S {
    if (this.#phase !== 'loaded')
      throw new KernelError('unavailable', `the cache ${this.#definition.name} is not loaded yet`);
    return this.#state as S;
  }

  get position(): number {
    return this.#phase === 'loaded' ? this.#position : -1;
  }

  get status(): CacheStatus {
    const { name } = this.#definition;
    return {
      name,
      state: this.#phase,
      position: this.position,
      loads: this.#loads,
      lastError: this.#lastError,
    };
  }

  /** Runs until its feed is closed or the signal comes. */
  async run(options: CacheLoopOptions, signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#pause.ring(), { once: true });
    while (!signal.aborted) {
      try {
        await this.#loadAndFollow(options, signal);
        return;
      } catch (error) {
        this.#failures += 1;
        this.#lastError = error instanceof Error ? error.message : String(error);
        this.#phase = 'broken';
        this.#state = undefined;
        options.log.error({ err: error, cache: this.#definition.name }, 'a cache failed and will be loaded anew');
        await this.#pause.wait(backoff(this.#failures, 50, 5_000));
      }
    }
  }

  /**
   * The safe tid is taken before the snapshot, so nothing between the two is missed; what the snapshot holds beyond it comes
   * again. Only when all that has been applied is the state shown: before, it may step back.
   */
  async #loadAndFollow(options: CacheLoopOptions, signal: AbortSignal): Promise<void> {
    const { safe } = await frontier(options.database);
    const snapshot = await this.#load(options.database);
    const held = Math.max(safe, snapshot.tid);
    this.#state = snapshot.state;
    this.#phase = 'loading';
    const { feed, close } = options.openFeed({ tid: safe });
    try {
      if (safe >= held) this.#reached(safe, held, options);
      for (let batch = await feed.next(); batch && !signal.aborted; batch = await feed.next()) {
        for (const entry of batch.entries) this.#apply(entry, options.log);
        this.#reached(wholeTid(batch.position), held, options);
      }
    } finally {
      close();
    }
  }

  async #load(database: ConnectionSource): Promise<{ state: S; tid: number }> {
    const connection = await database.connect();
    try {
      await connection.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      const tid = await highestTid(connection);
      const state = await this.#definition.load(kyselyOver(async () => connection));
      await connection.query('COMMIT');
      this.#loads += 1;
      connection.release();
      return { state, tid };
    } catch (error) {
      connection.release(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  #reached(tid: number, held: number, options: CacheLoopOptions): void {
    this.#position = tid;
    if (tid >= held) {
      this.#phase = 'loaded';
      this.#failures = 0;
      this.#lastError = null;
    }
    options.progress();
  }

  #apply(entry: JournalEntry, log: Log): void {
    try {
      this.#state = this.#definition.apply(this.#state as S, entry) ?? (this.#state as S);
    } catch (error) {
      log.error({ err: error, cache: this.#definition.name, ...after(entry) }, 'a cache could not apply a change');
      throw error;
    }
  }
}
