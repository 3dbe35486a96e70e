import { setTimeout as pause } from 'node:timers/promises';
import { KernelError, type Queryable } from '#libs/database';
import { frontier, type JournalEntry, type JournalPage, type Position } from '#libs/journal';
import { Alarm, backoff, reason } from './alarm.ts';
import type { Log } from './listener.ts';
import { after, PageReader } from './page.ts';

const QUICK = 1;
const QUICK_LIMIT = 20;
const POLL = 250;
/** Milliseconds between the beginnings of two rounds: under load one reads what several commits have left. */
const APART = 5;

type Outcome = 'more' | 'held' | 'idle';

export interface TailOptions {
  readonly db: Queryable;
  readonly log: Log;
  /** Called for each batch in tid order, also with no entries when only the position moved. Must neither throw nor wait. */
  deliver(page: JournalPage, position: Position): void;
}

export interface TailStatus {
  /** After what was delivered last. */
  readonly position: Position;
  /** The highest tid that is known to be drawn, and up to which nothing can appear any more. */
  readonly head: number;
  readonly safe: number;
  /** When entries were delivered last, in milliseconds since 1970; null before the first. */
  readonly deliveredAt: number | null;
  readonly state: 'stopped' | 'running' | 'failing';
  readonly lastError: string | null;
}

/**
 * Reads the journal once per process: every committed change exactly once, in tid order. The connection must be in
 * READ COMMITTED; a database that goes away is waited for, and reading resumes where it was.
 */
export class Tail {
  readonly #options: TailOptions;
  readonly #pages: PageReader;
  readonly #alarm = new Alarm();
  #position: Position = { tid: 0 };
  #head = 0;
  #safe = 0;
  #deliveredAt: number | null = null;
  #failures = 0;
  #lastError: string | null = null;
  #running: Promise<void> | undefined;
  #stopping = false;

  constructor(options: TailOptions) {
    this.#options = options;
    this.#pages = new PageReader(options.db);
  }

  get position(): Position {
    return this.#position;
  }

  get status(): TailStatus {
    const state = !this.#running ? 'stopped' : this.#failures > 0 ? 'failing' : 'running';
    return {
      ...{ position: this.#position, head: this.#head, safe: this.#safe },
      ...{ deliveredAt: this.#deliveredAt, state, lastError: this.#lastError },
    };
  }

  /** Starts after a position, which the caller knows to be safe. */
  start(position: Position): void {
    this.#position = position;
    this.#running = this.#run();
  }

  /** Reads now, or again at once if a round is under way. */
  wake(): void {
    this.#alarm.ring();
  }

  /** Ends after one last round, so that what was committed before is delivered when the database can be read. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#alarm.ring();
    await this.#running;
    this.#running = undefined;
  }

  async #run(): Promise<void> {
    let quick = QUICK;
    for (let last = false; !last; ) {
      last = this.#stopping;
      const [begun, from] = [performance.now(), this.#position];
      const outcome = await this.#attempt();
      if (last || outcome === 'more') continue;
      quick = outcome === 'held' && this.#position === from ? Math.min(QUICK_LIMIT, quick * 1.4) : QUICK;
      if (outcome === 'failed') await this.#alarm.wait(backoff(this.#failures, 20, 1_000));
      else await this.#alarm.wait(outcome === 'idle' ? POLL : quick);
      const early = begun + APART - performance.now();
      if (early > 0) await pause(early);
    }
  }

  async #attempt(): Promise<Outcome | 'failed'> {
    const { log } = this.#options;
    try {
      const outcome = await this.#round();
      if (this.#failures > 0) log.info({ ...this.#position }, 'the journal can be read again');
      this.#failures = 0;
      this.#lastError = null;
      return outcome;
    } catch (error) {
      if (this.#failures === 0) log.warn({ err: error, ...this.#position }, 'the journal cannot be read');
      this.#failures += 1;
      this.#lastError = reason(error);
      return 'failed';
    }
  }

  /**
   * Whole tids that follow the position without a gap need no floor: a tid that can be seen is committed, and nothing can
   * appear before it. At a gap the frontier says what is safe, and a later statement reads that.
   */
  async #round(): Promise<Outcome> {
    if (this.#position.tid < this.#safe) return this.#readSafe();
    const page = await this.#pages.read(this.#position);
    const entries = page.entries.slice(0, contiguous(this.#position.tid, page.entries));
    const last = entries.at(-1);
    if (last && entries.length === page.entries.length) {
      this.#deliver(page, page.cut ? after(last) : { tid: last.tid });
      return page.cut ? 'more' : this.#atEnd();
    }
    // before a gap every tid is whole, also the one that the position is inside of
    if (last || this.#position.resource !== undefined) {
      this.#deliver({ ...page, entries }, { tid: last?.tid ?? this.#position.tid });
    }
    await this.#askFrontier();
    return this.#position.tid < this.#safe ? this.#readSafe() : this.#atEnd();
  }

  async #askFrontier(): Promise<void> {
    const { head, safe } = await frontier(this.#options.db);
    if (head < this.#position.tid) {
      throw new KernelError(
        'conflict',
        `the journal ends at tid ${head}, before ${this.#position.tid} which was read already: the database was set back; restart this process`,
      );
    }
    this.#head = head;
    this.#safe = safe;
  }

  async #readSafe(): Promise<Outcome> {
    const safe = this.#safe;
    const page = await this.#pages.read(this.#position, safe);
    const last = page.cut ? page.entries.at(-1) : undefined;
    this.#deliver(page, last ? after(last) : { tid: safe });
    return last ? 'more' : this.#atEnd();
  }

  /** All that can be seen is read. What comes next is announced, unless its tid is drawn already. */
  #atEnd(): Outcome {
    return this.#head > this.#position.tid ? 'held' : 'idle';
  }

  #deliver(page: JournalPage, position: Position): void {
    this.#position = position;
    this.#head = Math.max(this.#head, position.tid);
    if (page.entries.length > 0) this.#deliveredAt = Date.now();
    this.#options.deliver(page, position);
  }
}

/** How many of the entries follow on a tid without a gap. */
function contiguous(tid: number, entries: readonly JournalEntry[]): number {
  const before = (n: number) => (n === 0 ? tid : (entries[n - 1] as JournalEntry).tid);
  const gap = entries.findIndex((entry, n) => entry.tid > before(n) + 1);
  return gap === -1 ? entries.length : gap;
}
