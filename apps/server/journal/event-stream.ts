import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Visibility } from '#libs/access';
import { Alarm, type PageReader } from '#libs/dispatch';
import { encodeCursor, type Position } from '#libs/journal';
import type { EventRing } from './event-ring.ts';
import type { EventReader, StreamEvent } from './stream-event.ts';

const RETRY = 1_000;
// Asked for every batch of every client, it would take more time than writing them.
const JUDGED_FOR = 1_000;

export interface EventStreamOptions {
  readonly response: ServerResponse;
  readonly epoch: string;
  readonly ring: EventRing;
  readonly reader: EventReader;
  readonly after: Position;
  readonly resource?: string | undefined;
  /** What the client may read, as of now. Throws when it may not read on. */
  visibility(): Promise<Visibility>;
  readonly heartbeat: number;
  /** Milliseconds in which the client must take something of what waits for it. */
  readonly stuck: number;
  /** Ends the stream. */
  readonly signal: AbortSignal;
}

/** How a stream ended: its client went, took nothing for too long, or was told to come back. */
export type Ending = 'gone' | 'stuck' | 'told';

/**
 * One client's event stream: from the ring at the head of the journal, from the database while it is behind. Nothing is written
 * while the client does not take what was written, so it costs one batch of memory, however far it falls behind.
 */
export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #alarm = new Alarm();
  readonly #gone = new AbortController();
  readonly #signal: AbortSignal;
  readonly #pages: PageReader;
  #position: Position;
  #ending: Ending = 'told';
  #visibility: Visibility | undefined;
  #judged = 0;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.#position = options.after;
    this.#pages = options.reader.pages(options.resource);
    this.#signal = AbortSignal.any([options.signal, this.#gone.signal]);
    this.#signal.addEventListener('abort', () => this.#alarm.ring());
  }

  /** After what was handed to the client's connection last. */
  get position(): Position {
    return this.#position;
  }

  /** Sends changes until the client goes or the signal comes; rejects when the journal cannot be read. */
  async run(): Promise<Ending> {
    const { response, ring } = this.#options;
    const untell = ring.tell(this.#alarm);
    const unwatch = this.#watch();
    this.#open();
    try {
      while (!this.#signal.aborted) await this.#step();
    } catch (error) {
      if (!this.#signal.aborted) throw error;
    } finally {
      untell();
      unwatch();
      response.end(`event: reconnect\nretry: ${RETRY}\ndata: {"reason":"this stream has ended"}\n\n`);
    }
    return this.#ending;
  }

  /** Notices that the client has gone, or is stuck: the socket's timer starts anew whenever the client takes something. */
  #watch(): () => void {
    const { response, heartbeat, stuck } = this.#options;
    const { socket } = response;
    const end = (how: Ending) => {
      if (!this.#signal.aborted) this.#ending = how;
      this.#gone.abort();
      if (how === 'stuck') response.destroy();
    };
    const closed = () => end('gone');
    const timedOut = () => end('stuck');
    const beat = setInterval(() => this.#beat(), heartbeat);
    response.once('close', closed);
    // while the cursor was looked at
    if (response.destroyed) closed();
    socket?.setTimeout(stuck).once('timeout', timedOut);
    return () => {
      clearInterval(beat);
      response.off('close', closed);
      socket?.off('timeout', timedOut);
    };
  }

  #open(): void {
    const { response, epoch } = this.#options;
    response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no',
    });
    // The first id lets a client that has seen nothing yet come back to where it began.
    response.write(`retry: ${RETRY}\nid: ${encodeCursor(epoch, this.#position)}\n\n`);
  }

  /** A client that wants few of the changes comes back to here, and not to the last one that it wanted. */
  #beat(): void {
    const { response, epoch } = this.#options;
    if (!response.writableNeedDrain) response.write(`: still here\nid: ${encodeCursor(epoch, this.#position)}\n\n`);
  }

  async #step(): Promise<void> {
    const { ring, reader } = this.#options;
    const batch =
      ring.after(this.#position) ?? (await reader.read(this.#pages, this.#position, ring.reached, this.#signal));
    if (batch.position === this.#position) {
      await this.#alarm.wait();
      return;
    }
    await this.#send(batch.events);
    this.#position = batch.position;
  }

  async #send(events: readonly StreamEvent[]): Promise<void> {
    const { response, resource } = this.#options;
    const visibility = await this.#judge();
    response.cork();
    for (const { entry, projects, bytes } of events) {
      if (resource !== undefined && entry.resource !== resource) continue;
      if (visibility.sees(entry.resource, projects)) response.write(bytes);
    }
    response.uncork();
    if (response.writableNeedDrain) await once(response, 'drain', { signal: this.#signal });
  }

  /** Who the client is was asked when it came, and is asked again while there is something to tell. */
  async #judge(): Promise<Visibility> {
    if (!this.#visibility || performance.now() - this.#judged >= JUDGED_FOR) {
      this.#visibility = await this.#options.visibility();
      this.#judged = performance.now();
    }
    return this.#visibility;
  }
}
