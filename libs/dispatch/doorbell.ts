import type { ListenClient } from '#libs/database';
import { Alarm, backoff } from './alarm.ts';
import type { Log } from './listener.ts';

const CHANNEL = 'tidemark';

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
  readonly state: 'stopped' | 'connecting' | 'listening' | 'down';
  readonly connects: number;
  readonly lastError: string | null;
}

/**
 * Wakes the other processes' tails after a commit, and is woken by theirs: a hint, never a promise. NOTIFY is sent alone on this
 * connection, because inside a data transaction it would hold one lock of the whole cluster until after the commit.
 */
export class Doorbell {
  readonly #options: DoorbellOptions;
  readonly #alarm = new Alarm();
  #client: ListenClient | undefined;
  #ringing = false;
  #ringAgain = false;
  #state: DoorbellStatus['state'] = 'stopped';
  #connects = 0;
  #failures = 0;
  #lastError: string | null = null;
  #running: Promise<void> | undefined;
  #stopping = false;

  constructor(options: DoorbellOptions) {
    this.#options = options;
  }

  get status(): DoorbellStatus {
    return { state: this.#state, connects: this.#connects, lastError: this.#lastError };
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
    this.#state = 'stopped';
  }

  /** Tells the others. Any number of rings while one is on its way become one more. */
  ring(): void {
    const client = this.#client;
    if (!client) return;
    if (this.#ringing) {
      this.#ringAgain = true;
      return;
    }
    this.#ringing = true;
    const done = () => {
      this.#ringing = false;
      if (this.#ringAgain) {
        this.#ringAgain = false;
        this.ring();
      }
    };
    // a connection that fails says so by its error event
    client.query(`NOTIFY ${CHANNEL}`).then(done, done);
  }

  async #run(tried: () => void): Promise<void> {
    while (!this.#stopping) {
      this.#state = 'connecting';
      try {
        await this.#session(tried);
      } catch (error) {
        this.#failures += 1;
        this.#lastError = error instanceof Error ? error.message : String(error);
        this.#state = 'down';
        if (this.#failures === 1)
          this.#options.log.warn({ err: error }, 'the doorbell is down: changes of others are found by polling');
      }
      tried();
      if (!this.#stopping) await this.#alarm.wait(backoff(this.#failures, 50, 2_000));
    }
  }

  async #session(listening: () => void): Promise<void> {
    const client = await this.#options.connect();
    let ended: Error | undefined;
    const end = (error?: Error) => {
      ended ??= error ?? new Error('the connection was closed');
      this.#alarm.ring();
    };
    client.on('error', end);
    client.on('end', () => end());
    const { processID: own } = client as ListenClient & { processID: number };
    client.on('notification', ({ processId }) => {
      if (processId !== own) this.#options.heard();
    });
    try {
      await client.query(`LISTEN ${CHANNEL}`);
      this.#client = client;
      this.#connects += 1;
      if (this.#failures > 0) this.#options.log.info({}, 'the doorbell works again');
      this.#state = 'listening';
      this.#failures = 0;
      listening();
      this.#options.heard();
      await this.#keepAlive(client, () => ended);
    } finally {
      this.#client = undefined;
      this.#ringing = false;
      // a connection that hangs would not end either
      client.end().catch(() => undefined);
    }
  }

  async #keepAlive(client: ListenClient, ended: () => Error | undefined): Promise<void> {
    const heartbeat = this.#options.heartbeat ?? 5_000;
    for (;;) {
      await this.#alarm.wait(heartbeat);
      if (this.#stopping) return;
      const error = ended();
      if (error) throw error;
      await answered(client, heartbeat);
    }
  }
}

async function answered(client: ListenClient, within: number): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${within} ms`)), within);
  try {
    await Promise.race([client.query('SELECT 1'), promise]);
  } finally {
    clearTimeout(timer);
  }
}
