import { setTimeout as pause } from 'node:timers/promises';
import type { ListenClient } from '#libs/database';
import { Alarm, backoff, reason } from './alarm.ts';
import type { Log } from './listener.ts';

const CHANNEL = 'tidemark';
/** Milliseconds between two rings: under load one tells of several commits. */
const APART = 5;

export interface DoorbellOptions {
  /** Opens a connection of its own, outside any pool. */
  connect(): Promise<ListenClient>;
  /** Someone else has committed, or may have: the connection is new. */
  heard(): void;
  readonly log: Log;
  /** Milliseconds between two signs of life, and how long one may take. */
  readonly heartbeat?: number;
}

export interface DoorbellStatus {
  state: 'stopped' | 'connecting' | 'listening' | 'down';
  connects: number;
  lastError: string | null;
}

/**
 * Wakes the other processes' tails after a commit, and is woken by theirs: a hint, never a promise. NOTIFY is sent alone on this
 * connection, because inside a data transaction it would hold one lock of the whole cluster until after the commit.
 */
export class Doorbell {
  readonly status: DoorbellStatus = { state: 'stopped', connects: 0, lastError: null };
  readonly #options: DoorbellOptions;
  readonly #alarm = new Alarm();
  readonly #heartbeat: number;
  readonly #signOfLife: { text: string };
  #client: ListenClient | undefined;
  #ringing = false;
  #ringAgain = false;
  #failures = 0;
  #running: Promise<void> | undefined;
  #stopping = false;

  constructor(options: DoorbellOptions) {
    this.#options = options;
    this.#heartbeat = options.heartbeat ?? 5_000;
    this.#signOfLife = { text: 'SELECT 1', query_timeout: this.#heartbeat } as { text: string };
  }

  /** Returns once it listens, or once the first try has failed: it goes on trying then. */
  async start(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#running = this.#run(resolve);
    await promise;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#alarm.ring();
    await this.#running;
    this.status.state = 'stopped';
  }

  /** Tells the others. Any number of rings while one is on its way become one more. */
  ring(): void {
    this.#ringAgain = true;
    if (this.#ringing || !this.#client) return;
    this.#ringing = true;
    this.#ringAgain = false;
    const done = () => {
      this.#ringing = false;
      if (this.#ringAgain) this.ring();
    };
    // a connection that fails says so by its error event
    const rung = this.#client.query(`NOTIFY ${CHANNEL}`);
    void Promise.allSettled([rung, pause(APART)]).then(done);
  }

  async #run(tried: () => void): Promise<void> {
    while (!this.#stopping) {
      this.status.state = 'connecting';
      try {
        await this.#session(tried);
      } catch (error) {
        this.#failures += 1;
        this.status.state = 'down';
        this.status.lastError = reason(error);
        if (this.#failures === 1) {
          this.#options.log.warn({ err: error }, 'the doorbell is down: changes of others are found by polling');
        }
      }
      tried();
      if (!this.#stopping) await this.#alarm.wait(backoff(this.#failures, 50, 2_000));
    }
  }

  async #session(listening: () => void): Promise<void> {
    const client = await this.#options.connect();
    const { processID: own } = client as ListenClient & { processID: number };
    const { promise: broken, reject } = Promise.withResolvers<never>();
    broken.catch(() => this.#alarm.ring());
    client.on('error', reject);
    client.on('end', () => reject(new Error('the connection was closed')));
    client.on('notification', ({ processId }) => {
      if (processId !== own) this.#options.heard();
    });
    try {
      await client.query(`LISTEN ${CHANNEL}`);
      this.#client = client;
      this.#failures = 0;
      this.status.state = 'listening';
      this.status.connects += 1;
      listening();
      this.#options.heard();
      if (this.#ringAgain) this.ring();
      while (!this.#stopping) {
        await this.#alarm.wait(this.#heartbeat);
        await Promise.race([broken, client.query(this.#signOfLife)]);
      }
    } finally {
      this.#client = undefined;
      this.#ringing = false;
      // a connection that hangs would not end either
      client.end().catch(() => undefined);
    }
  }
}
