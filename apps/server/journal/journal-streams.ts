import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Log } from '#libs/dispatch';
import { type Change, encodeCursor, type JournalEntry, type Position, withOldValues } from '#libs/journal';
import type { Kernel } from '#libs/kernel';

const HEARTBEAT = 15_000;
const RETRY = 1_000;
// A client that takes nothing for so long is dropped: it may come back with the last id it has seen.
const STUCK = 120_000;
// Old values are read for so many changes at a time, fewer when they are large: versions of a wiki page may have 5 MB each.
const SLICE = 100;
const SLICE_CHARACTERS = 1_000_000;

export interface StreamOptions {
  readonly after: Position;
  readonly resource?: string | undefined;
}

/** The open event streams of this server. Each is fed at the pace of its client, and all are closed together. */
export class JournalStreams {
  readonly #kernel: Kernel;
  readonly #log: Log;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(kernel: Kernel, log: Log) {
    this.#kernel = kernel;
    this.#log = log;
  }

  /** Aborted when the server closes. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Sends changes as server-sent events until the client goes or the server closes. */
  serve(response: ServerResponse, options: StreamOptions): Promise<void> {
    const running = this.#serve(response, options).finally(() => this.#running.delete(running));
    this.#running.add(running);
    return running;
  }

  /** Tells every client to come back, and ends its stream. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#running);
  }

  async #serve(response: ServerResponse, { after, resource }: StreamOptions): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    response.socket?.setTimeout(STUCK, () => response.destroy());
    const signal = AbortSignal.any([gone.signal, this.closing]);
    response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no',
    });
    // The first id lets a client that has seen nothing yet come back to where it began.
    response.write(`retry: ${RETRY}\nid: ${encodeCursor(this.#kernel.epoch, after)}\n\n`);
    const heartbeat = setInterval(() => {
      if (!response.writableNeedDrain) response.write(': still here\n\n');
    }, HEARTBEAT);
    try {
      const options = { after, signal, ...(resource === undefined ? {} : { resource }) };
      await this.#send(response, options);
    } catch (error) {
      if (!signal.aborted) this.#log.warn({ err: error }, 'an event stream has ended early');
    } finally {
      clearInterval(heartbeat);
      response.end(`event: reconnect\nretry: ${RETRY}\ndata: {"reason":"this stream has ended"}\n\n`);
    }
  }

  async #send(
    response: ServerResponse,
    options: { after: Position; resource?: string; signal: AbortSignal },
  ): Promise<void> {
    const { database, epoch } = this.#kernel;
    for await (const entries of this.#kernel.dispatcher.follow(options)) {
      for (const slice of slices(entries)) {
        for (const change of await withOldValues(database, slice)) {
          if (!response.write(eventOf(epoch, change))) {
            await once(response, 'drain', { signal: options.signal });
          }
        }
      }
    }
  }
}

function* slices(entries: readonly JournalEntry[]): Generator<JournalEntry[]> {
  let slice: JournalEntry[] = [];
  let characters = 0;
  for (const entry of entries) {
    slice.push(entry);
    for (const value of Object.values(entry.values)) characters += typeof value === 'string' ? value.length : 0;
    if (slice.length < SLICE && characters < SLICE_CHARACTERS) continue;
    yield slice;
    slice = [];
    characters = 0;
  }
  if (slice.length > 0) yield slice;
}

const PAST: Record<string, string> = { CREATE: 'created', MODIFY: 'modified', DELETE: 'deleted' };

function eventOf(epoch: string, change: Change): string {
  const { tid, resource, id } = change;
  const cursor = encodeCursor(epoch, { tid, resource, id });
  const event = `${resource}.${PAST[change.change] ?? change.change.toLowerCase()}`;
  return `id: ${cursor}\nevent: ${event}\ndata: ${JSON.stringify(change)}\n\n`;
}
