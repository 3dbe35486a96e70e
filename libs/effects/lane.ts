import { setTimeout as delay } from 'node:timers/promises';
import { Alarm } from '#libs/dispatch';
import type { JournalEntry } from '#libs/journal';
import type { EffectListener, Taken } from './effect.ts';

/** An effect that was taken, and the change that it is about. */
export interface Task {
  readonly taken: Taken;
  readonly entry: JournalEntry;
}

const CONCURRENCY = 10;
const AHEAD = 200;

/** One listener's effects in this process: so many at once, so many a second, those of one row one after the other. */
export class Lane {
  readonly #run: (task: Task) => Promise<void>;
  readonly #concurrency: number;
  readonly #interval: number;
  readonly #rows = new Set<string>();
  readonly #ended = new Alarm();
  readonly #queue: Task[] = [];
  #running = 0;
  #nextStart = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor({ concurrency = CONCURRENCY, rate }: EffectListener, run: (task: Task) => Promise<void>) {
    this.#run = run;
    this.#concurrency = concurrency;
    this.#interval = rate === undefined ? 0 : 1_000 / rate;
  }

  /** How many more effects are to be taken now. What is taken and not begun is lost time when this process dies. */
  get room(): number {
    return this.#stopped ? 0 : Math.max(0, AHEAD - this.#queue.length);
  }

  get running(): number {
    return this.#running;
  }

  get idle(): boolean {
    return this.#running === 0 && this.#queue.length === 0;
  }

  add(tasks: readonly Task[]): void {
    this.#queue.push(...tasks);
    this.#pump();
  }

  /** Returns once there is room, or the lane is stopped. */
  async hasRoom(): Promise<void> {
    while (this.room === 0 && !this.#stopped) await this.#ended.wait();
  }

  /** What was taken and not begun. */
  get waiting(): Taken[] {
    return this.#queue.map(({ taken }) => taken);
  }

  /** Begins nothing more, and waits some milliseconds for what runs. */
  async stop(patience: number): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#ended.ring();
    const end = performance.now() + patience;
    while (this.#running > 0 && performance.now() < end) {
      const giveUp = new AbortController();
      await Promise.race([
        this.#ended.wait(),
        delay(end - performance.now(), undefined, { signal: giveUp.signal }).catch(() => undefined),
      ]);
      giveUp.abort();
    }
  }

  #pump(): void {
    while (!this.#stopped && this.#running < this.#concurrency && !this.#mustWait()) {
      const place = this.#queue.findIndex(({ entry }) => !this.#rows.has(rowOf(entry)));
      if (place === -1) return;
      const [task] = this.#queue.splice(place, 1) as [Task];
      this.#nextStart = Math.max(this.#nextStart, performance.now()) + this.#interval;
      void this.#begin(task);
    }
  }

  async #begin(task: Task): Promise<void> {
    const row = rowOf(task.entry);
    this.#running += 1;
    this.#rows.add(row);
    await this.#run(task);
    this.#running -= 1;
    this.#rows.delete(row);
    this.#ended.ring();
    this.#pump();
  }

  /** Whether the rate forbids to begin another one now; then it is looked at again when it may. */
  #mustWait(): boolean {
    const early = this.#nextStart - performance.now();
    if (this.#interval === 0 || early <= 0 || this.#queue.length === 0) return false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#pump(), early);
    return true;
  }
}

function rowOf({ resource, id }: JournalEntry): string {
  return `${resource} ${id}`;
}
