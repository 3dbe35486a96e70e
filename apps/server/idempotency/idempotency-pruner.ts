import type { Queryable } from '#libs/database';
import type { Log } from '#libs/dispatch';
import { pruneAnswers } from './idempotency.queries.ts';

const EVERY = 10 * 60_000;
const BATCH = 1_000;

/** Deletes the stored answers that are older than 24 hours, every ten minutes. Any number of processes may do so at once. */
export class IdempotencyPruner {
  readonly #db: Queryable;
  readonly #log: Log;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();

  constructor(db: Queryable, log: Log) {
    this.#db = db;
    this.#log = log;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#running = this.runOnce().catch((error) => {
        this.#log.warn({ err: error }, 'old answers of Idempotency-Keys could not be deleted');
      });
    }, EVERY).unref();
  }

  /** Deletes all that are too old, in small transactions; returns how many. */
  async runOnce(): Promise<number> {
    let deleted = 0;
    for (let some = BATCH; some === BATCH; deleted += some) some = await pruneAnswers(this.#db, BATCH);
    return deleted;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }
}
