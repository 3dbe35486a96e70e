import type { Queryable } from '#libs/database';
import { Alarm, backoff, type Log } from '#libs/dispatch';
import { pauseAfter, type Taken } from './effect.ts';
import { fail, finish } from './effects.queries.ts';

const BATCH = 500;

interface Failure {
  readonly effect: Taken;
  readonly error: string;
  readonly pause: number | null;
}

/** Writes into the ledger how effects have ended: those that are done many at a time. While the database is away the news waits. */
export class Reporter {
  readonly #db: Queryable;
  readonly #log: Log;
  readonly #alarm = new Alarm();
  #done: Taken[] = [];
  #failures: Failure[] = [];
  #running: Promise<void> | undefined;
  #stopping = false;
  /** News that came too late: another process had taken the effect. */
  late = 0;

  constructor(db: Queryable, log: Log) {
    this.#db = db;
    this.#log = log;
  }

  /** News that is not written yet. */
  get waiting(): number {
    return this.#done.length + this.#failures.length;
  }

  start(): void {
    this.#running = this.#run();
  }

  done(effect: Taken): void {
    this.#done.push(effect);
    this.#alarm.ring();
  }

  /**
   * The next attempt comes after a growing pause, not shorter than was asked for; after the last one, or when it is not to be tried again,
   * the effect is parked.
   */
  failed(effect: Taken, error: string, attempts: number, asked: number): void {
    const pause = effect.attempts >= attempts ? null : pauseAfter(effect.attempts, asked);
    this.#failures.push({ effect, error: error.replaceAll('\0', ' ').slice(0, 2_000), pause });
    this.#alarm.ring();
  }

  /** Writes what there is, if the database answers, and ends. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#alarm.ring();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let failures = 0; ; ) {
      try {
        await this.#writeAll();
        failures = 0;
      } catch (error) {
        failures += 1;
        if (failures === 1) this.#log.warn({ err: error }, 'the effect ledger cannot be written');
      }
      if (this.#stopping && (failures > 0 || this.waiting === 0)) return;
      await this.#alarm.wait(failures > 0 ? backoff(failures, 50, 2_000) : undefined);
    }
  }

  async #writeAll(): Promise<void> {
    while (this.#done.length > 0) {
      const batch = this.#done.slice(0, BATCH);
      this.late += batch.length - (await finish(this.#db, batch));
      this.#done.splice(0, batch.length);
    }
    for (let failure = this.#failures[0]; failure; failure = this.#failures[0]) {
      if ((await fail(this.#db, failure.effect, failure)) === 0) this.late += 1;
      this.#failures.shift();
    }
  }
}
