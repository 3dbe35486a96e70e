import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from '@jest/globals';
import { type Change, FeedRefused, follow, type Store } from './feed-client.ts';

type Answerer = (request: IncomingMessage, response: ServerResponse) => void;

const change = (tid: number): Change => ({ tid, resource: 'wiki', id: '1', change: 'MODIFY', fields: {} });
const page = (...tids: number[]) => ({ changes: tids.map(change), cursor: `after ${tids.at(-1)}` });

const ok =
  (body: object): Answerer =>
  (_request, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
const refuse =
  (status: number, headers: Record<string, string> = {}, problem: object = {}): Answerer =>
  (_request, response) =>
    response.writeHead(status, headers).end(JSON.stringify({ status, detail: 'no', ...problem }));
const cut: Answerer = (request) => request.socket.destroy();
const half: Answerer = (_request, response) => {
  response.writeHead(200, { 'content-length': '1000' }).write('{"changes":[');
  setImmediate(() => response.destroy());
};

class Memory implements Store {
  at: string | undefined;
  readonly seen: number[] = [];
  failing = false;
  resets = 0;

  cursor(): string | undefined {
    return this.at;
  }

  apply(changes: readonly Change[], cursor: string): void {
    if (this.failing) throw new Error('the disk is full');
    this.seen.push(...changes.map(({ tid }) => tid));
    this.at = cursor;
  }

  reset(): void {
    this.at = undefined;
    this.seen.length = 0;
    this.resets += 1;
  }
}

/** Lets a client meet some answers, one for each request; ends it at the last. */
async function meet(answers: Answerer[], store: Memory, form: 'poll' | 'stream' = 'poll'): Promise<string[]> {
  const stopping = new AbortController();
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.url} ${request.headers['last-event-id'] ?? ''}`.trim());
    const answer = answers.shift();
    if (answer) answer(request, response);
    else stopping.abort();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    await follow({ url, token: 'token', store, signal: stopping.signal, form });
  } finally {
    server.closeAllConnections();
    server.close();
  }
  return asked;
}

it('waits where the server cannot answer now, for as long as it is told to, and asks for the same again', async () => {
  const store = new Memory();
  const answers = [
    ok(page(1, 2)),
    refuse(503),
    refuse(504),
    cut,
    half,
    refuse(502),
    refuse(429, { 'retry-after': '1' }),
    ok(page(3)),
  ];
  const since = performance.now();
  const asked = await meet(answers, store);
  expect(performance.now() - since).toBeGreaterThan(1_000);
  expect(store.seen).toEqual([1, 2, 3]);
  expect(asked.slice(1, 8)).toEqual(Array(7).fill('/journal?limit=500&wait=25&after=after+2'));
});

it('begins again with the first change when the cursor is refused', async () => {
  const store = new Memory();
  const lost = refuse(400, {}, { errors: [{ path: 'cursor', message: 'of another database' }] });
  const asked = await meet([ok(page(1, 2)), lost, ok(page(7))], store);
  expect(asked[2]).toBe('/journal?limit=500&wait=25');
  expect([store.seen, store.resets]).toEqual([[7], 1]);
});

it.each([401, 403, 400, 404])(
  'gives up at a %i that asking again does not help against, and keeps what it has',
  async (status) => {
    const store = new Memory();
    await expect(meet([ok(page(1)), refuse(status)], store)).rejects.toBeInstanceOf(FeedRefused);
    expect(store.seen).toEqual([1]);
  },
);

it('does not go past changes whose work fails', async () => {
  const store = new Memory();
  store.failing = true;
  await expect(meet([ok(page(1))], store)).rejects.toThrow('the disk is full');
  expect(store.at).toBeUndefined();
});

it('puts events together however the stream is cut into pieces, and comes back after its end', async () => {
  const store = new Memory();
  const text = [
    'retry: 1000\nid: opening\n\n',
    ': still here\n\n',
    `id: after 2\nevent: wiki.modified\ndata: ${JSON.stringify({ ...change(2), fields: { text: { old: 'ä', new: '😀' } } })}\n\n`,
    `id: after 3\nevent: wiki.modified\ndata: ${JSON.stringify(change(3))}\n\n`,
    'event: reconnect\nretry: 1000\ndata: {"reason":"this stream has ended"}\n\n',
    `id: after 4\nevent: wiki.modified\ndata: {"tid":`,
  ].join('');
  const bytes = Buffer.from(text);
  const stream: Answerer = async (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let at = 0; at < bytes.length; at += 7) {
      response.write(bytes.subarray(at, at + 7));
      await new Promise((resolve) => setImmediate(resolve));
    }
    response.end();
  };
  const empty = (cursor: string) => ok({ changes: [], cursor });
  const asked = await meet([ok(page(1)), empty('after 1'), stream, empty('after 3'), cut], store, 'stream');
  expect(store.seen).toEqual([1, 2, 3]);
  expect(asked.slice(2, 5)).toEqual([
    '/journal/stream after 1',
    '/journal?limit=500&wait=0&after=after+3',
    '/journal/stream after 3',
  ]);
});
