import type { Queryable } from '#libs/database';
import type { JournalEntry, JournalPage, Position } from '#libs/journal';
import { Alarm, backoff } from './alarm.ts';
import { after, PageReader, wholeTid } from './page.ts';

const MAX_ENTRIES = 4_000;
const MAX_BYTES = 16 * 1024 * 1024;

export interface FeedOptions {
  readonly db: Queryable;
  /** What the tail has delivered so far. */
  readonly tail: { readonly position: Position };
  readonly after: Position;
  /** Only this resource is read; `wants` filters further. */
  readonly resource?: string;
  readonly wants?: (entry: JournalEntry) => boolean;
  /** Called when no more is to be offered. */
  readonly closed: () => void;
}

/** Entries in order, perhaps none, and the position that they lead to. */
export interface Batch {
  readonly entries: readonly JournalEntry[];
  /** What their values take, at most. */
  readonly bytes: number;
  readonly position: Position;
}

/**
 * One consumer's own way through the journal, each entry once and in order. While it keeps up it is fed by the tail through
 * a bounded buffer; when it does not, or starts further back, it reads the database from its own position, up to the tail's.
 */
export class Feed {
  readonly #options: FeedOptions;
  readonly #pages: PageReader;
  readonly #alarm = new Alarm();
  #position: Position;
  /** Whether offers are buffered, and whether the buffer follows directly on the position. */
  #buffering = false;
  #live = false;
  #pending: (Batch & { entries: JournalEntry[] }) | undefined;
  /** Up to this tid entries come from the database, also when the tail offers the rest of it. */
  #known = -1;
  #failures = 0;
  #closing = false;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#position = options.after;
    this.#pages = new PageReader(options.db, options.resource);
  }

  /** Called by the tail's owner for each delivery. Never waits. */
  offer(page: JournalPage, position: Position): void {
    this.#alarm.ring();
    if (!this.#buffering || position.tid <= this.#known) return;
    const fresh = page.entries.filter((entry) => entry.tid > this.#known && this.#wants(entry));
    const { entries, bytes } = this.#pending ?? { entries: [] as JournalEntry[], bytes: 0 };
    const full = entries.length + fresh.length > MAX_ENTRIES || bytes + page.bytes > MAX_BYTES;
    if (full && entries.length > 0 && fresh.length > 0) {
      this.#stopBuffering();
      return;
    }
    entries.push(...fresh);
    this.#pending = { entries, bytes: fresh.length > 0 ? bytes + page.bytes : bytes, position };
  }

  /** The next entries, as soon as there are any or the position moves; undefined once closed. A database that goes away is waited for. */
  async next(): Promise<Batch | undefined> {
    for (;;) {
      const batch = this.#live ? this.#take() : this.#closing ? undefined : await this.#catchUp();
      if (batch || this.#closing) return batch;
      await this.#alarm.wait(this.#failures > 0 ? backoff(this.#failures, 20, 1_000) : undefined);
    }
  }

  /** Ends the feed; what is buffered is still handed out. */
  finish(): void {
    this.#closing = true;
    this.#options.closed();
    this.#alarm.ring();
  }

  /** Ends the feed at once. */
  close(): void {
    this.#stopBuffering();
    this.finish();
  }

  #wants(entry: JournalEntry): boolean {
    const { resource, wants } = this.#options;
    return (resource === undefined || resource === entry.resource) && (wants === undefined || wants(entry));
  }

  #take(): Batch | undefined {
    const batch = this.#pending;
    this.#pending = undefined;
    if (batch) this.#position = batch.position;
    return batch;
  }

  async #catchUp(): Promise<Batch | undefined> {
    const target = this.#options.tail.position;
    const { tid, resource, id } = this.#position;
    // a cursor that another process gave out may be ahead of this one's tail
    if (target.tid < tid) return undefined;
    if (target.tid === tid && target.resource === resource && target.id === id) {
      this.#startBuffering(wholeTid(target));
      this.#live = true;
      return undefined;
    }
    this.#startBuffering(target.tid);
    const page = await this.#read(target.tid);
    const last = page?.cut ? page.entries.at(-1) : undefined;
    if (!page || last) this.#stopBuffering();
    if (!page) return undefined;
    this.#live = this.#buffering;
    this.#position = last ? after(last) : { tid: target.tid };
    return { entries: page.entries.filter((entry) => this.#wants(entry)), bytes: page.bytes, position: this.#position };
  }

  async #read(upto: number): Promise<JournalPage | undefined> {
    try {
      const page = await this.#pages.read(this.#position, upto);
      this.#failures = 0;
      return page;
    } catch {
      // the tail reports that the database cannot be read; this reader tries again by itself
      this.#failures += 1;
      return undefined;
    }
  }

  #startBuffering(known: number): void {
    this.#buffering = true;
    this.#live = false;
    this.#pending = undefined;
    this.#known = known;
  }

  #stopBuffering(): void {
    this.#buffering = false;
    this.#live = false;
    this.#pending = undefined;
  }
}
