import type { Queryable } from '#libs/database';
import type { JournalEntry, JournalPage, Position } from '#libs/journal';
import { Alarm, backoff } from './alarm.ts';
import { after, PageReader, wholeTid } from './page.ts';

const MAX_ENTRIES = 2_000;
const MAX_BYTES = 16 * 1024 * 1024;

export interface FeedOptions {
  readonly db: Queryable;
  /** What the tail has delivered so far. */
  readonly tail: { readonly position: Position };
  readonly after: Position;
  /** Only this resource is read; `wants` filters further. */
  readonly resource?: string;
  readonly wants?: (entry: JournalEntry) => boolean;
}

/** Entries in order, perhaps none, and the position that they lead to. */
export interface Batch {
  readonly entries: readonly JournalEntry[];
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
  #pending: JournalEntry[] = [];
  #pendingBytes = 0;
  #pendingPosition: Position | undefined;
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
    const { resource, wants } = this.#options;
    const entries = page.entries.filter(
      (entry) => entry.tid > this.#known && (resource ?? entry.resource) === entry.resource && (wants?.(entry) ?? true),
    );
    const bytes = entries.length === 0 ? 0 : page.bytes;
    const tooMuch = this.#pending.length + entries.length > MAX_ENTRIES || this.#pendingBytes + bytes > MAX_BYTES;
    if (this.#pending.length > 0 && entries.length > 0 && tooMuch) {
      this.#stopBuffering();
      return;
    }
    for (const entry of entries) this.#pending.push(entry);
    this.#pendingBytes += bytes;
    this.#pendingPosition = position;
  }

  /** The next entries, as soon as there are any or the position moves; undefined once closed. A database that goes away is waited for. */
  async next(): Promise<Batch | undefined> {
    for (;;) {
      const batch = this.#live ? this.#take() : this.#closing ? undefined : await this.#catchUp();
      if (batch || this.#closing) return batch;
      await this.#alarm.wait(this.#failures > 0 ? backoff(this.#failures, 20, 1_000) : undefined);
    }
  }

  /** Ends the feed; what is buffered is still handed out, unless it is to be dropped. */
  close(options: { drop?: boolean } = {}): void {
    this.#closing = true;
    if (options.drop) this.#stopBuffering();
    this.#alarm.ring();
  }

  #take(): Batch | undefined {
    if (this.#pendingPosition === undefined) return undefined;
    const batch = { entries: this.#pending, position: this.#pendingPosition };
    this.#position = batch.position;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#pendingPosition = undefined;
    return batch;
  }

  async #catchUp(): Promise<Batch | undefined> {
    const target = this.#options.tail.position;
    if (target.tid < this.#position.tid) return undefined;
    if (samePosition(target, this.#position)) {
      this.#startBuffering(wholeTid(target));
      this.#live = true;
      return undefined;
    }
    this.#startBuffering(target.tid);
    const page = await this.#read(target.tid);
    if (!page) return undefined;
    const last = page.entries.at(-1);
    if (page.cut && last) this.#stopBuffering();
    else this.#live = this.#buffering;
    this.#position = page.cut && last ? after(last) : { tid: target.tid };
    const { wants } = this.#options;
    return { entries: wants ? page.entries.filter(wants) : page.entries, position: this.#position };
  }

  async #read(upto: number): Promise<JournalPage | undefined> {
    try {
      const page = await this.#pages.read(this.#position, upto);
      this.#failures = 0;
      return page;
    } catch {
      // the tail reports that the database cannot be read; this reader tries again by itself
      this.#failures += 1;
      this.#stopBuffering();
      return undefined;
    }
  }

  #startBuffering(known: number): void {
    this.#stopBuffering();
    this.#buffering = true;
    this.#known = known;
  }

  #stopBuffering(): void {
    this.#buffering = false;
    this.#live = false;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#pendingPosition = undefined;
  }
}

function samePosition(a: Position, b: Position): boolean {
  return a.tid === b.tid && a.resource === b.resource && a.id === b.id;
}
