import { hostname } from 'node:os';
import type { Queryable } from '#libs/database';
import { Alarm } from './alarm.ts';
import { forgetProcess, sayAlive } from './dispatch.queries.ts';
import type { Log } from './listener.ts';

export interface ProcessRegistryOptions {
  readonly db: Queryable;
  readonly origin: string;
  readonly name: string;
  readonly version: string;
  readonly log: Log;
  position(): number;
}

const EVERY = 2_000;

/** Keeps this process's row in tidemark.processes while it lives. */
export class ProcessRegistry {
  readonly #options: ProcessRegistryOptions;
  readonly #alarm = new Alarm();
  #running: Promise<void> | undefined;
  #failing = false;
  #stopping = false;

  constructor(options: ProcessRegistryOptions) {
    this.#options = options;
  }

  /** Writes the row; throws what the database throws. From then on failures are logged and tried again. */
  async start(): Promise<void> {
    await this.#sayAlive();
    this.#running = this.#run();
  }

  /** Deletes the row; when that is impossible the others will, after a minute. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#alarm.ring();
    await this.#running;
    await this.#try(() => forgetProcess(this.#options.db, this.#options.origin));
  }

  async #run(): Promise<void> {
    for (;;) {
      await this.#alarm.wait(EVERY);
      if (this.#stopping) return;
      await this.#try(() => this.#sayAlive());
    }
  }

  async #sayAlive(): Promise<void> {
    const { db, origin, name, version, position } = this.#options;
    await sayAlive(db, { origin, name, host: hostname(), pid: process.pid, version, position: position() });
  }

  async #try(action: () => Promise<void>): Promise<void> {
    try {
      await action();
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#options.log.warn({ err: error }, 'the list of processes cannot be written');
      this.#failing = true;
    }
  }
}
