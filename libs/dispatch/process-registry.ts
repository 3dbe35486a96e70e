import { hostname } from 'node:os';
import type { Queryable } from '#libs/database';
import { forgetProcess, sayAlive } from './dispatch.queries.ts';
import { LEASE, Lease } from './lease.ts';
import type { Log } from './listener.ts';

export interface ProcessRegistryOptions {
  readonly db: Queryable;
  readonly origin: string;
  readonly name: string;
  readonly version: string;
  readonly log: Log;
  position(): number;
  /** The listeners whose effects this process runs. */
  listeners(): readonly string[];
}

const EVERY = 2_000;

/** Keeps this process's row in tidemark.processes, and with it its lease, while it lives. Failures are logged, and tried again. */
export class ProcessRegistry {
  readonly lease = new Lease();
  readonly #options: ProcessRegistryOptions;
  #timer: NodeJS.Timeout | undefined;
  #saying: Promise<void> = Promise.resolve();
  #failing = false;

  constructor(options: ProcessRegistryOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#sayAlive();
    this.#timer = setInterval(() => {
      this.#saying = this.#saying.then(() => this.#sayAlive());
    }, EVERY);
  }

  /** Deletes the row; when that is impossible the others will, after a minute. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#saying;
    await this.#try(forgetProcess(this.#options.db, this.#options.origin));
  }

  async #sayAlive(): Promise<void> {
    const { db, origin, name, version, position, listeners } = this.#options;
    const about = {
      origin,
      name,
      host: hostname(),
      pid: process.pid,
      version,
      position: position(),
      listeners: listeners(),
    };
    await this.#try(this.lease.renew((lease) => sayAlive(db, { ...about, lease, milliseconds: LEASE })));
  }

  async #try(action: Promise<void>): Promise<void> {
    try {
      await action;
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#options.log.warn({ err: error }, 'the list of processes cannot be written');
      this.#failing = true;
    }
  }
}
