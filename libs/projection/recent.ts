import { type Batch, wholeTid } from '#libs/dispatch';
import type { JournalEntry, Position } from '#libs/journal';

/** More than these are read again when they are applied: reading is little beside applying so many. */
const MOST = 500;
const MOST_BYTES = 8 * 1024 * 1024;

/** What this process's tail has delivered to a follower and nobody has applied: the changes of two tids without a gap. */
export class RecentChanges {
  #after: number;
  #upto: number;
  #entries: JournalEntry[] = [];
  /** What they take, at most. */
  #bytes = 0;

  /** Begins after a position; the rest of a tid that it is inside of is not the whole of it. */
  constructor({ tid }: Position) {
    this.#after = tid;
    this.#upto = tid;
  }

  /** Up to which tid they are whole. */
  get upto(): number {
    return this.#upto;
  }

  add({ entries, bytes, position }: Batch): void {
    this.#entries.push(...entries);
    if (entries.length > 0) this.#bytes += bytes;
    this.#upto = Math.max(this.#upto, wholeTid(position));
    if (this.#entries.length > MOST || this.#bytes > MOST_BYTES) {
      this.#entries = [];
      this.#bytes = 0;
      this.#after = Math.max(this.#after, position.tid);
      this.#upto = this.#after;
    }
  }

  /** Those after a tid, up to another one; undefined when they are not all here. */
  between(after: number, upto: number): JournalEntry[] | undefined {
    if (after < this.#after || upto > this.#upto) return undefined;
    return this.#entries.filter(({ tid }) => tid > after && tid <= upto);
  }

  /** They are applied. */
  forget(upto: number): void {
    if (upto <= this.#after) return;
    this.#entries = this.#entries.filter(({ tid }) => tid > upto);
    if (this.#entries.length === 0) this.#bytes = 0;
    this.#after = upto;
    this.#upto = Math.max(this.#upto, upto);
  }
}
