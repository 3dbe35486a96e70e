import { setTimeout as pause } from 'node:timers/promises';

/** One change as the journal tells it; docs/http.md has all of its fields. */
export interface Change {
  readonly tid: number;
  readonly resource: string;
  readonly id: string;
  readonly change: string;
  readonly fields: Record<string, { old: unknown; new: unknown }>;
}

/** Where a client keeps what it makes of the changes, and in the same place the cursor. */
export interface Store {
  /** The cursor of the last apply(); undefined at first and after reset(). */
  cursor(): string | undefined;
  /** Does the work of some changes and keeps the cursor after them: both or, when it throws or the process dies, nothing. */
  apply(changes: readonly Change[], cursor: string): void | Promise<void>;
  /** Drops the cursor and everything that was made of changes, in the same way. */
  reset(): void | Promise<void>;
}

export interface FeedOptions {
  readonly url: string;
  readonly token: string;
  readonly store: Store;
  /** Ends the following. */
  readonly signal: AbortSignal;
  /** `poll`: long polls, one page of changes for each apply(). `stream`: pages until it has caught up, then server-sent events. */
  readonly form?: 'poll' | 'stream';
  /** Changes in a page at most, 1 to 500. */
  readonly limit?: number;
}

/** The server will not serve this client, however often it asks: a wrong token, a missing right. */
export class FeedRefused extends Error {}

/** The server does not know the cursor: the database is another one, or was set back. */
class CursorRefused extends Error {}

/** The server cannot answer now; `seconds` is when it asks to be tried again. */
class NotNow extends Error {
  readonly seconds: number | undefined;

  constructor(message: string, seconds: number | undefined) {
    super(message);
    this.seconds = seconds;
  }
}

const WAIT = 25; // seconds that a long poll lasts when there is no change
const QUIET = 45_000; // milliseconds without a byte after which a stream is dead: the server says something every 15 s

/** Brings every change to the store, once and in order, until the signal comes. Throws FeedRefused, and whatever apply() throws. */
export async function follow(options: FeedOptions): Promise<void> {
  const { store, signal } = options;
  let failures = 0;
  while (!signal.aborted) {
    try {
      const caughtUp = await readPage(options);
      failures = 0;
      if (caughtUp && options.form === 'stream') await readStream(options);
    } catch (error) {
      if (signal.aborted) return;
      // what was made of another history is worth nothing: begin again with the first change
      if (error instanceof CursorRefused) await store.reset();
      else if (error instanceof NotNow) await backOff(++failures, error.seconds, signal);
      else throw error;
    }
  }
}

/** Reads and applies one page; whether there was nothing more to read. */
async function readPage(options: FeedOptions): Promise<boolean> {
  const { store, limit = 500, form } = options;
  const after = store.cursor();
  const query = new URLSearchParams({ limit: `${limit}`, wait: form === 'stream' ? '0' : `${WAIT}` });
  if (after !== undefined) query.set('after', after);
  const answer = await ask(options, `/journal?${query}`, { signal: AbortSignal.timeout((WAIT + 30) * 1000) });
  const { changes, cursor } = (await received(answer.json())) as { changes: Change[]; cursor: string };
  // without changes the cursor may still have moved
  if (cursor !== after) await store.apply(changes, cursor);
  return changes.length === 0;
}

/** Applies events as they come, until the stream ends. What came with one piece of it is applied at once. */
async function readStream(options: FeedOptions): Promise<void> {
  const { store } = options;
  const dead = new AbortController();
  const watchdog = setTimeout(() => dead.abort(), QUIET);
  const init = { signal: dead.signal, headers: { 'last-event-id': store.cursor() as string } };
  try {
    const answer = await ask(options, '/journal/stream', init);
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    const decoder = new TextDecoder();
    let unread = '';
    for (;;) {
      const { done, value } = await received(reader.read());
      if (done) return;
      watchdog.refresh();
      const events = (unread + decoder.decode(value, { stream: true })).split('\n\n');
      unread = events.pop() as string;
      const changes = events.flatMap(changeOf);
      const last = changes.at(-1);
      if (last)
        await store.apply(
          changes.map(({ change }) => change),
          last.cursor,
        );
    }
  } finally {
    clearTimeout(watchdog);
    dead.abort();
  }
}

/** The change of one event and the cursor after it. Comments, the opening and the farewell have none. */
function changeOf(event: string): { change: Change; cursor: string }[] {
  const lines = event.split('\n');
  const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
  const [id, data] = [field('id'), field('data')];
  return id === undefined || data === undefined ? [] : [{ change: JSON.parse(data) as Change, cursor: id }];
}

/** An answer that says 200. Anything else is thrown as what it means to a client. */
async function ask(
  { url, token, signal }: FeedOptions,
  path: string,
  init: { signal: AbortSignal; headers?: Record<string, string> },
): Promise<Response> {
  const headers = { authorization: `Bearer ${token}`, ...init.headers };
  const answer = await received(fetch(`${url}${path}`, { headers, signal: AbortSignal.any([signal, init.signal]) }));
  if (answer.ok) return answer;
  const problem = (await answer.json().catch(() => ({}))) as { detail?: string; errors?: { path: string }[] };
  const message = `${answer.status} ${problem.detail ?? ''}`;
  if (problem.errors?.[0]?.path === 'cursor') throw new CursorRefused(message);
  // 429: too often. 503: starting, stopping, or without its database. 504: behind. Other 5xx: a proxy's, or a fault.
  if (answer.status === 429 || answer.status >= 500) {
    throw new NotNow(message, Number(answer.headers.get('retry-after')) || undefined);
  }
  throw new FeedRefused(message);
}

/** What comes over the network, which may fail at any moment. */
async function received<T>(coming: Promise<T>): Promise<T> {
  try {
    return await coming;
  } catch (error) {
    throw new NotNow(`the connection failed: ${String(error)}`, undefined);
  }
}

/** As long as the server asks for; else twice as long after each failure, up to 30 s, and not in step with other clients. */
async function backOff(failures: number, seconds: number | undefined, signal: AbortSignal): Promise<void> {
  const milliseconds =
    seconds === undefined ? Math.min(30_000, 100 * 2 ** failures) * (0.5 + Math.random() / 2) : seconds * 1000;
  await pause(milliseconds, undefined, { signal }).catch(() => undefined);
}
