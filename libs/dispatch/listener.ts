import type { JournalEntry, Position } from '#libs/journal';
import type { Feed } from './feed.ts';
import { after } from './page.ts';
import { runListener, type Standing, standing } from './primary.ts';

/** Where the program's messages go. pino fits. */
export interface Log {
  debug(about: object, message: string): void;
  info(about: object, message: string): void;
  warn(about: object, message: string): void;
  error(about: object, message: string): void;
}

/**
 * Code that is told of changes, each at most once per process, in tid order. It runs after the commit and beside all others: a slow or
 * throwing listener delays nobody else. A change that made it throw is logged, counted and not told again.
 */
export interface Listener {
  readonly name: string;
  /** Only changes of these resources. */
  readonly resources?: readonly string[];
  /** Only changes of these fields; a CREATE and a DELETE always count. */
  readonly fields?: readonly string[];
  /** This process made the change. Not called when it was made with `meta.effects = false`. */
  onPrimary?(entry: JournalEntry): void | Promise<void>;
  /** Some other process or program made the change. */
  onSecondary?(entry: JournalEntry): void | Promise<void>;
}

export interface ListenerStatus {
  readonly name: string;
  /** Highest tid that the listener has wholly passed is at or just below this. */
  readonly position: Position;
  readonly delivered: number;
  readonly failed: number;
  readonly lastError: string | null;
}

export function matches(listener: Listener, entry: JournalEntry): boolean {
  const { resources, fields } = listener;
  if (resources && !resources.includes(entry.resource)) return false;
  if (!fields || entry.change === 'CREATE' || entry.change === 'DELETE') return true;
  return fields.some((field) => Object.hasOwn(entry.values, field));
}

/** One listener's own loop over its feed. */
export class ListenerLoop {
  readonly #listener: Listener;
  readonly #origin: string;
  readonly #log: Log;
  #position: Position;
  #delivered = 0;
  #failed = 0;
  #lastError: string | null = null;

  constructor(listener: Listener, origin: string, start: Position, log: Log) {
    this.#listener = listener;
    this.#origin = origin;
    this.#position = start;
    this.#log = log;
  }

  get status(): ListenerStatus {
    const [name, delivered, failed] = [this.#listener.name, this.#delivered, this.#failed];
    return { name, position: this.#position, delivered, failed, lastError: this.#lastError };
  }

  /** Runs until the feed is closed or, between two entries, the signal comes. */
  async run(feed: Feed, signal: AbortSignal): Promise<void> {
    for (let batch = await feed.next(); batch; batch = await feed.next()) {
      for (const entry of batch.entries) {
        if (signal.aborted) return;
        const as = standing(entry, this.#origin);
        if (as !== 'muted') await this.#tell(entry, as);
        this.#position = after(entry);
      }
      this.#position = batch.position;
    }
  }

  async #tell(entry: JournalEntry, as: Standing): Promise<void> {
    try {
      if (await runListener(this.#listener, entry, as)) this.#delivered += 1;
    } catch (error) {
      this.#failed += 1;
      this.#lastError = error instanceof Error ? error.message : String(error);
      this.#log.error({ err: error, listener: this.#listener.name, ...after(entry) }, 'a listener failed');
    }
  }
}
