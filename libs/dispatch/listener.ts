import type { JournalEntry, Position } from '#libs/journal';
import { reason } from './alarm.ts';
import type { Feed } from './feed.ts';
import { after } from './page.ts';

/** Where the program's messages go. pino fits. */
export interface Log {
  debug(about: object, message: string): void;
  info(about: object, message: string): void;
  warn(about: object, message: string): void;
  error(about: object, message: string): void;
}

/**
 * Code that is told of changes, each at most once per process, in tid order. It runs after the commit and beside all others: a slow or
 * throwing listener delays nobody else. A change that made it throw is logged, counted and not told again: side effects belong to
 * `onPrimary`, which the effect ledger calls.
 */
export interface Listener {
  readonly name: string;
  /** Only changes of these resources. */
  readonly resources?: readonly string[];
  /** Only changes of these fields; a CREATE and a DELETE always count. */
  readonly fields?: readonly string[] | undefined;
  /** Some other process or program made the change. */
  onSecondary?(entry: JournalEntry): void | Promise<void>;
  /** Any change, this process's own included: for what is shown or passed on in memory. */
  onDelivered?(entry: JournalEntry, own: boolean): void | Promise<void>;
}

/** Whether a listener's filter matches a change. */
export function wants({ resources, fields }: Listener, entry: JournalEntry): boolean {
  if (resources && !resources.includes(entry.resource)) return false;
  if (!fields || entry.change === 'CREATE' || entry.change === 'DELETE') return true;
  return fields.some((field) => Object.hasOwn(entry.values, field));
}

export interface ListenerStatus {
  name: string;
  position: Position;
  delivered: number;
  failed: number;
  lastError: string | null;
}

/** One listener's own loop over the changes of other processes. */
export class ListenerLoop {
  readonly status: ListenerStatus;
  readonly #listener: Listener;
  readonly #origin: string;
  readonly #log: Log;

  constructor(listener: Listener, origin: string, log: Log) {
    this.status = { name: listener.name, position: { tid: 0 }, delivered: 0, failed: 0, lastError: null };
    this.#listener = listener;
    this.#origin = origin;
    this.#log = log;
  }

  /** Changes that the listener asks for: those of other processes, and all when it has `onDelivered`. */
  wants(entry: JournalEntry): boolean {
    const told = entry.origin !== this.#origin || this.#listener.onDelivered !== undefined;
    return told && wants(this.#listener, entry);
  }

  /** Runs until the feed ends or, between two entries, the signal comes. */
  async run(feed: Feed, start: Position, signal: AbortSignal): Promise<void> {
    this.status.position = start;
    for (let batch = await feed.next(); batch; batch = await feed.next()) {
      for (const entry of batch.entries) {
        if (signal.aborted) return;
        await this.#tell(entry);
        this.status.position = after(entry);
      }
      this.status.position = batch.position;
    }
  }

  async #tell(entry: JournalEntry): Promise<void> {
    try {
      const own = entry.origin === this.#origin;
      if (!own) await this.#listener.onSecondary?.(entry);
      await this.#listener.onDelivered?.(entry, own);
      this.status.delivered += 1;
    } catch (error) {
      this.status.failed += 1;
      this.status.lastError = reason(error);
      this.#log.error({ err: error, listener: this.#listener.name, ...after(entry) }, 'a listener failed');
    }
  }
}
