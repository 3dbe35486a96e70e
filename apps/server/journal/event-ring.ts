import { type Alarm, after } from '#libs/dispatch';
import { comparePositions, type Position } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import type { EventBatch, EventReader, StreamEvent } from './stream-event.ts';

const MAX_EVENTS = 10_000;
const MAX_BYTES = 16 * 1024 * 1024;
// What one client takes at a time, and holds on to while it is slow.
const BATCH_BYTES = 64 * 1024;

/**
 * The last changes at the head of the journal, each rendered once for all clients. It follows the journal while it runs; a client
 * whose position lies before its first event reads for itself.
 */
export class EventRing {
  readonly #alarms = new Set<Alarm>();
  #events: StreamEvent[] = [];
  #bytes = 0;
  #start: Position;
  #end: Position;

  constructor(start: Position) {
    this.#start = start;
    this.#end = start;
  }

  /** Up to this tid the journal is safe to read. */
  get reached(): number {
    return this.#end.tid;
  }

  /** Rings an alarm at each new event, until the function that it returns is called. */
  tell(alarm: Alarm): () => void {
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** Some events after a position, none when there is nothing new; undefined when events after it are not kept any more. */
  after(position: Position): EventBatch | undefined {
    if (comparePositions(position, this.#start) < 0) return undefined;
    const first = this.#firstAfter(position);
    let last = first;
    for (let bytes = 0; last < this.#events.length && bytes < BATCH_BYTES; last++) {
      bytes += (this.#events[last] as StreamEvent).bytes.length;
    }
    const events = this.#events.slice(first, last);
    const newest = events.at(-1);
    return { events, position: newest ? after(newest.entry) : position };
  }

  /** Follows the journal until the signal comes or the kernel stops. */
  async run(kernel: Kernel, reader: EventReader, signal: AbortSignal): Promise<void> {
    const walk = reader.walk();
    for await (const entries of kernel.dispatcher.follow({ after: this.#start, signal })) {
      for (let rest = entries; rest.length > 0; ) {
        const events = await reader.render(rest, walk, signal);
        this.#add(events);
        rest = rest.slice(events.length);
      }
    }
  }

  #add(events: readonly StreamEvent[]): void {
    for (const event of events) {
      this.#events.push(event);
      this.#bytes += sizeOf(event);
      this.#end = after(event.entry);
    }
    this.#dropOldest();
    for (const alarm of this.#alarms) alarm.ring();
  }

  #dropOldest(): void {
    let dropped = 0;
    while (this.#bytes > MAX_BYTES || this.#events.length - dropped > MAX_EVENTS) {
      const event = this.#events[dropped++] as StreamEvent;
      this.#bytes -= sizeOf(event);
      this.#start = after(event.entry);
    }
    if (dropped > 0) this.#events = this.#events.slice(dropped);
  }

  #firstAfter(position: Position): number {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (comparePositions((this.#events[middle] as StreamEvent).entry, position) > 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** The bytes, and about as much for the entry beside them. */
function sizeOf({ bytes }: StreamEvent): number {
  return 2 * bytes.length;
}
