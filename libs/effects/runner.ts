import { isUnreachable } from '#libs/database';
import { Alarm, backoff, type Feed, type Log, reason, wants, wholeTid } from '#libs/dispatch';
import { entriesAt, type JournalEntry } from '#libs/journal';
import { attempt } from './attempt.ts';
import type { EffectListener, Taken } from './effect.ts';
import { takeDue, takeOwn } from './effects.queries.ts';
import { Lane, type Task } from './lane.ts';
import type { EffectLedgerOptions } from './ledger.ts';
import type { Reporter } from './reporter.ts';
import { muted } from './sweeper.ts';

/** One listener's effects as this process sees them. */
export interface EffectListenerStatus {
  readonly name: string;
  readonly running: number;
  readonly done: number;
  readonly failed: number;
  /** Spent in its `onPrimary`, over all attempts that have ended. */
  readonly seconds: number;
  readonly lastError: string | null;
}

export interface RunnerOptions extends EffectLedgerOptions {
  readonly reporter: Reporter;
  /** This process as people name it. */
  readonly by: string;
}

const TAKE = 100;

/** One listener's effects in this process: takes those of its own changes as they are delivered, what is due when it is told to, and runs them. */
export class Runner {
  readonly listener: EffectListener;
  readonly #options: RunnerOptions;
  readonly #lane: Lane;
  readonly #counts = { done: 0, failed: 0, seconds: 0, lastError: null as string | null };
  #feed: Feed | undefined;
  #loop: Promise<void> = Promise.resolve();
  /** Up to which tid its effects of this process's own changes are taken. */
  #own = -1;
  #taking = 0;
  #runs = false;

  constructor(listener: EffectListener, options: RunnerOptions) {
    this.listener = listener;
    this.#options = options;
    this.#lane = new Lane(listener, (task) => this.#attempt(task));
  }

  get room(): number {
    return this.#lane.room;
  }

  get status(): EffectListenerStatus {
    return { name: this.listener.name, running: this.#lane.running, ...this.#counts };
  }

  /** Whether it has nothing to do up to a tid. What has failed and waits counts as done. */
  idleAt(tid: number): boolean {
    return this.#taking === 0 && this.#lane.idle && this.#own >= tid;
  }

  start(): void {
    this.#runs = true;
    this.#loop = this.#takeOwn();
  }

  /** What was taken and not begun. */
  get waiting(): Taken[] {
    return this.#lane.waiting;
  }

  /** Takes nothing more of its own accord, and lets what runs come to its end for some milliseconds. */
  async stop(patience: number): Promise<void> {
    this.#runs = false;
    this.#feed?.close();
    await Promise.all([this.#lane.stop(patience), this.#loop]);
  }

  /** Takes some of what is due. Returns whether there may be more. */
  async takeDue(lease: string): Promise<boolean> {
    const limit = Math.min(this.#lane.room, TAKE);
    if (limit === 0) return false;
    this.#taking += 1;
    try {
      const taken = await takeDue(this.#options.database, this.listener.name, limit, this.#holder(lease));
      const entries = await this.#read(taken);
      this.#lane.add(withEntries(taken, new Map(entries.map((entry) => [placeOf(entry), entry]))));
      return taken.length === limit;
    } finally {
      this.#taking -= 1;
    }
  }

  /** The changes of effects that are taken. When they cannot be read, the effects are given back: they come again after a pause. */
  async #read(taken: readonly Taken[]): Promise<JournalEntry[]> {
    const { database, reporter } = this.#options;
    try {
      return await entriesAt(database, taken);
    } catch (error) {
      // the listener was not called, so this parks nothing
      for (const effect of taken) reporter.failed(effect, reason(error), Number.MAX_SAFE_INTEGER, 0);
      throw error;
    }
  }

  async #takeOwn(): Promise<void> {
    const { dispatcher, origin } = this.#options;
    const own = (entry: JournalEntry) => entry.origin === origin && !muted(entry) && wants(this.listener, entry);
    const feed = dispatcher.feed({ after: dispatcher.position, wants: own });
    this.#own = wholeTid(dispatcher.position);
    this.#feed = feed;
    for (let batch = await feed.next(); batch && this.#runs; batch = await feed.next()) {
      for (let n = 0; n < batch.entries.length && this.#runs; ) {
        await this.#lane.hasRoom();
        const some = batch.entries.slice(n, n + Math.min(this.#lane.room, TAKE));
        n += some.length;
        this.#lane.add(await this.#take(some));
      }
      this.#own = wholeTid(batch.position);
    }
  }

  async #take(entries: readonly JournalEntry[]): Promise<Task[]> {
    const listener = this.listener.name;
    const effects = entries.map(({ tid, resource, id }) => ({ listener, tid, resource, id }));
    const found = new Map(entries.map((entry) => [placeOf(entry), entry]));
    for (let failures = 0; this.#runs; ) {
      const { lease } = this.#options.dispatcher;
      try {
        if (lease !== undefined) {
          const taken = await takeOwn(this.#options.database, effects, this.#holder(lease));
          return withEntries(taken, found).sort((a, b) => a.entry.tid - b.entry.tid);
        }
      } catch (error) {
        if (failures === 0 && this.#runs) warnOfLedger(this.#options.log, error);
      }
      // what is not taken here is entered by a sweep, and taken when this process looks around
      failures += 1;
      if (failures > 3) return [];
      await new Alarm().wait(backoff(failures, 50, 1_000));
    }
    return [];
  }

  async #attempt(task: Task): Promise<void> {
    const counts = this.#counts;
    const { dispatcher, log, atomic, reporter } = this.#options;
    const failed = (error: string) => Object.assign(counts, { failed: counts.failed + 1, lastError: error });
    const begun = performance.now();
    const outcome = await attempt(this.listener, task, { dispatcher, log, atomic, reporter, failed });
    if (outcome === 'done') counts.done += 1;
    counts.seconds += (performance.now() - begun) / 1_000;
  }

  #holder(lease: string) {
    return { origin: this.#options.origin, lease, name: this.#options.by };
  }
}

/** Says that the ledger could not be read or written. */
export function warnOfLedger(log: Log, error: unknown): void {
  log.warn(
    { err: error },
    isUnreachable(error) ? 'the effect ledger cannot be reached' : 'the effect ledger has failed',
  );
}

function placeOf({ tid, resource, id }: { tid: number; resource: string; id: string }): string {
  return `${tid} ${resource} ${id}`;
}

function withEntries(taken: readonly Taken[], entries: ReadonlyMap<string, JournalEntry>): Task[] {
  return taken.flatMap((effect) => {
    const entry = entries.get(placeOf(effect));
    return entry ? [{ taken: effect, entry }] : [];
  });
}
