import { Alarm, type Log } from '#libs/dispatch';

const EVERY = 10 * 60_000;
const BATCH = 1_000;

export interface PrunerOptions {
  /** What is deleted, for the log. */
  readonly what: string;
  /** Deletes so many at most of what is too old, without waiting for what others delete; returns how many. */
  prune(limit: number): Promise<number>;
  readonly log: Log;
}

/** Deletes what was kept long enough: at the start, and about every ten minutes. Any number of processes may do so at once. */
export class Pruner {
  readonly #options: PrunerOptions;
  readonly #alarm = new Alarm();
  #stopped = false;
  #loop: Promise<void> | undefined;

  constructor(options: PrunerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** Ends with the batch that it is at. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#alarm.ring();
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#prune();
      } catch (error) {
        this.#options.log.warn({ err: error }, `${this.#options.what} could not be deleted`);
      }
      // spread, so that the processes of one database do not come at once
      await this.#alarm.wait(EVERY * (0.5 + Math.random()));
    }
  }

  /** In small transactions, until nothing is left. */
  async #prune(): Promise<void> {
    for (let some = BATCH; some === BATCH && !this.#stopped; ) some = await this.#options.prune(BATCH);
  }
}
