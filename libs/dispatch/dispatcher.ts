import { type ConnectionSource, KernelError, type ListenClient, translate } from '#libs/database';
import { frontier, type JournalEntry, type Position } from '#libs/journal';
import { type Cache, type CacheDefinition, CacheLoop, type CacheStatus } from './cache.ts';
import { Doorbell, type DoorbellStatus } from './doorbell.ts';
import { Feed, type FeedOptions } from './feed.ts';
import { type Listener, ListenerLoop, type ListenerStatus, type Log } from './listener.ts';
import { OwnConnection } from './own-connection.ts';
import { wholeTid } from './page.ts';
import { ProcessRegistry } from './process-registry.ts';
import { Tail, type TailStatus } from './tail.ts';

const WAIT_FOR = 5_000;
/** Milliseconds in which nearly every commit is read. */
const SOON = 10;
const LOAD_WITHIN = 5_000;
const FINISH_WITHIN = 5_000;

export interface DispatcherOptions {
  readonly database: ConnectionSource & { listenClient(): Promise<ListenClient> };
  /** A fresh UUID per start: what this process writes into the journal. */
  readonly origin: string;
  readonly name: string;
  readonly version: string;
  readonly log: Log;
  /** The listeners whose effects this process runs, once it has started. */
  listeners?(): readonly string[];
}

export interface DispatchStatus extends TailStatus {
  readonly listeners: readonly ListenerStatus[];
  readonly caches: readonly CacheStatus[];
  readonly doorbell: DoorbellStatus;
}

/** One per process: reads the journal once, and tells listeners, caches and followers of it, each at its own pace. */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #connection: OwnConnection;
  readonly #tail: Tail;
  readonly #doorbell: Doorbell;
  readonly #registry: ProcessRegistry;
  readonly #listeners: ListenerLoop[] = [];
  readonly #caches: CacheLoop<unknown>[] = [];
  readonly #feeds = new Set<Feed>();
  readonly #loops: Promise<void>[] = [];
  readonly #watchers = new Set<() => void>();
  readonly #leaving = new AbortController();
  readonly #late = new AbortController();
  #started = false;

  constructor(options: DispatcherOptions) {
    const { database, log } = options;
    this.#options = { ...options, origin: options.origin.toLowerCase() };
    this.#connection = new OwnConnection(() => database.listenClient());
    this.#tail = new Tail({
      ...{ db: this.#connection, log },
      deliver: (page, position) => {
        for (const feed of this.#feeds) feed.offer(page, position);
        this.#moved();
      },
    });
    this.#doorbell = new Doorbell({ connect: () => database.listenClient(), heard: () => this.#tail.wake(), log });
    this.#registry = new ProcessRegistry({
      ...this.#options,
      db: database,
      position: () => wholeTid(this.#tail.position),
      listeners: () => options.listeners?.() ?? [],
    });
  }

  /** Adds a listener's `onSecondary` and `onDelivered`; before start. */
  listen(listener: Listener): void {
    this.#refuseWhenStarted();
    if (!listener.onSecondary && !listener.onDelivered) return;
    this.#listeners.push(new ListenerLoop(listener, this.#options.origin, this.#options.log));
  }

  /** Adds a cache; before start. */
  cache<S>(definition: CacheDefinition<S>): Cache<S> {
    this.#refuseWhenStarted();
    const { database, log } = this.#options;
    const openFeed = (options: Pick<FeedOptions, 'after' | 'wants'>) => this.#openFeed(options);
    const cache = new CacheLoop(definition, { database, log, openFeed, moved: () => this.#moved() });
    this.#caches.push(cache);
    return cache;
  }

  /**
   * Starts after what is safe now: listeners are told of later changes only. Returns when the caches are loaded, or after some seconds
   * without them, with a warning; throws KernelError `unavailable` when the database is not reachable.
   */
  async start(): Promise<void> {
    this.#refuseWhenStarted();
    this.#started = true;
    try {
      await this.#doorbell.start();
      const { safe } = await frontier(this.#connection);
      this.#tail.start({ tid: safe });
      await this.#registry.start();
    } catch (error) {
      await Promise.all([this.#doorbell.stop(), this.#tail.stop()]);
      this.#connection.close();
      throw translate(error);
    }
    for (const listener of this.#listeners) {
      const after = this.#tail.position;
      const feed = this.#openFeed({ after, wants: (entry) => listener.wants(entry) });
      this.#loops.push(listener.run(feed, after, this.#late.signal));
    }
    for (const cache of this.#caches) this.#loops.push(cache.run(this.#leaving.signal));
    if (await this.#until(() => this.#caches.every((cache) => cache.position >= 0), LOAD_WITHIN)) return;
    this.#options.log.warn({ caches: this.status().caches }, 'not all caches are loaded yet');
  }

  /** Reads what is committed, lets listeners finish what they have been given, for some seconds, and leaves. */
  async stop(): Promise<void> {
    if (!this.#started) return;
    await this.#tail.stop();
    this.#leaving.abort();
    for (const feed of this.#feeds) feed.finish();
    const timer = setTimeout(() => {
      this.#options.log.warn({}, 'a listener did not finish in time');
      this.#late.abort();
    }, FINISH_WITHIN);
    const late = new Promise<void>((resolve) => this.#late.signal.addEventListener('abort', () => resolve()));
    await Promise.race([Promise.all(this.#loops), late]);
    clearTimeout(timer);
    await Promise.all([this.#registry.stop(), this.#doorbell.stop()]);
    this.#connection.close();
  }

  /** This process has committed a change: reads at once, and wakes the others. */
  wake(): void {
    this.#tail.wake();
    this.#doorbell.ring();
  }

  /**
   * Waits until the tail has passed a tid and all caches have applied it. KernelError `malformed` when the journal does not reach that far,
   * `not_caught_up` when it takes longer than the time-out (5 s unless given).
   */
  async waitFor(tid: number, { timeout = WAIT_FOR }: { timeout?: number } = {}): Promise<void> {
    if (!Number.isSafeInteger(tid) || tid < 0) throw new KernelError('malformed', `${tid} is not a tid`);
    const caughtUp = () => wholeTid(this.#tail.position) >= tid && this.#caches.every((cache) => cache.position >= tid);
    // a commit is announced, and looking twice for each would cost more than this delays what was not
    const soon = Math.min(SOON, timeout);
    if (await this.#until(caughtUp, soon)) return;
    this.#tail.wake();
    if (tid > this.#tail.status.head) {
      const { head } = await frontier(this.#options.database).catch((error) => Promise.reject(translate(error)));
      if (tid > head) throw new KernelError('malformed', `tid ${tid} is beyond the end of the journal, ${head}`);
    }
    if (await this.#until(caughtUp, timeout - soon)) return;
    throw new KernelError('not_caught_up', `this process has not applied tid ${tid} within ${timeout} ms`);
  }

  /** The journal from a position on, without end, until the signal comes. A consumer that is slow costs bounded memory. */
  async *follow(options: {
    after: Position;
    resource?: string;
    signal: AbortSignal;
  }): AsyncGenerator<readonly JournalEntry[], void> {
    const { signal, ...from } = options;
    if (!this.#started) throw new KernelError('unavailable', 'the dispatcher is not started');
    const feed = this.#openFeed(from);
    const close = () => feed.close();
    signal.addEventListener('abort', close);
    try {
      while (!signal.aborted) {
        const batch = await feed.next();
        if (!batch || signal.aborted) return;
        if (batch.entries.length > 0) yield batch.entries;
      }
    } finally {
      signal.removeEventListener('abort', close);
      close();
    }
  }

  /** What this process holds work under; undefined while it must begin nothing. */
  get lease(): string | undefined {
    return this.#registry.lease.current;
  }

  /** How far the tail has come. */
  get position(): Position {
    return this.#tail.position;
  }

  /** A feed of changes from a position on, buffered while its reader keeps up. The reader closes it. */
  feed(options: Pick<FeedOptions, 'after' | 'wants'>): Feed {
    if (!this.#started) throw new KernelError('unavailable', 'the dispatcher is not started');
    return this.#openFeed(options);
  }

  status(): DispatchStatus {
    return {
      ...this.#tail.status,
      listeners: this.#listeners.map((listener) => ({ ...listener.status })),
      caches: this.#caches.map((cache) => cache.status),
      doorbell: { ...this.#doorbell.status },
    };
  }

  #openFeed(options: Pick<FeedOptions, 'after' | 'resource' | 'wants'>): Feed {
    const closed = () => this.#feeds.delete(feed);
    const feed = new Feed({ ...options, db: this.#options.database, tail: this.#tail, closed });
    if (this.#leaving.signal.aborted) feed.close();
    else this.#feeds.add(feed);
    return feed;
  }

  #moved(): void {
    for (const look of this.#watchers) look();
  }

  /** Whether a condition on the tail and the caches came true within some milliseconds. */
  async #until(condition: () => boolean, timeout: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), timeout);
    const look = () => {
      if (condition()) resolve(true);
    };
    this.#watchers.add(look);
    look();
    const met = await promise;
    clearTimeout(timer);
    this.#watchers.delete(look);
    return met;
  }

  #refuseWhenStarted(): void {
    if (this.#started) throw new KernelError('configuration', 'the dispatcher is started already');
  }
}
