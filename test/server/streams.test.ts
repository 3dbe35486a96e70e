import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createToken } from '#libs/access';
import { encodeCursor, type Position, readEntries } from '#libs/journal';
import type { Limits } from '../../apps/server/limits.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { parseExposition } from './exposition.ts';
import { type TestServer, TOKEN, testServer } from './server-fixture.ts';
import { type EventReader, readEvents } from './sse.ts';

let database: TestDatabase;
let server: TestServer;
const sockets: Socket[] = [];

beforeEach(async () => {
  database = await testDatabase();
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await server?.close();
  await database?.drop();
});

async function start(limits: Partial<Limits> = {}): Promise<void> {
  server = await testServer(database.url, {}, { limits });
}

async function metric(name: string): Promise<number | undefined> {
  const answer = await fetch(`${server.url}/metrics`);
  return parseExposition(await answer.text())
    .get(name)
    ?.samples.get(name);
}

async function open(query = ''): Promise<EventReader> {
  const answer = await server.ask(`/journal/stream?${query}`);
  return readEvents(answer.body as ReadableStream<Uint8Array>);
}

/** One statement that makes so many pages, of one tid. */
async function pages(count: number, prefix: string, bytes = 10): Promise<void> {
  await server.database.query(
    `INSERT INTO wiki (name, text) SELECT $1 || n, repeat('x', $3::int) FROM generate_series(1, $2::int) n`,
    [prefix, count, bytes],
  );
}

/** What the journal holds, as the cursors of its changes. */
async function journal(after: Position = { tid: 0 }): Promise<string[]> {
  const entries = await readEntries(server.database, { after, limit: 1_000_000 });
  return entries.map(({ tid, resource, id }) => encodeCursor(server.kernel.epoch, { tid, resource, id }));
}

/** A client that reads what it likes of a stream, from after an id. */
function slowly(after: string): { socket: Socket; ids(): string[]; closed: Promise<unknown> } {
  const { hostname, port } = new URL(server.url);
  let text = '';
  const socket = connect(Number(port), hostname, () => {
    const head = [
      'GET /journal/stream HTTP/1.1',
      'Host: here',
      `Authorization: Bearer ${TOKEN}`,
      `Last-Event-ID: ${after}`,
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
  });
  sockets.push(socket);
  const closed = new Promise((resolve) => socket.on('close', resolve).on('error', () => undefined));
  socket.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  // whole events only: a chunk's length may stand between two of them, and inside one where the server was cut off
  const ids = () => [...text.matchAll(/^id: (\S+)\nevent: .*\ndata: .*\n\n/gm)].map(([, id]) => id as string);
  return { socket, ids, closed };
}

describe('a client that takes nothing', () => {
  it('is cut off, told of in the log, and resumes in the middle of a tid of 10,000 changes, as often as it happens', async () => {
    await start({ stuck: 300 });
    const first = await open();
    await first.cancel();
    await pages(10_000, 'Cut ', 2_000);
    const expected = await journal();
    expect(expected).toHaveLength(10_000);

    const seen: string[] = [];
    let last = first.opening.id as string;
    let cuts = 0;
    while (seen.length < expected.length) {
      const client = slowly(last);
      await waitUntil(() => client.ids().length > 0, 'the first events come');
      if (cuts < 3) {
        client.socket.pause();
        cuts += 1;
        await waitUntil(async () => (await metric('tidemark_event_streams_cut_off_total')) === cuts, 'it is cut off');
        client.socket.resume();
        await client.closed;
      } else {
        await waitUntil(() => seen.length + client.ids().length === expected.length, 'the rest comes');
      }
      seen.push(...client.ids());
      last = seen.at(-1) as string;
    }
    expect(seen).toEqual(expected);
    const told = server.lines.filter((line) =>
      line.message.startsWith('a client of the event stream has taken nothing'),
    );
    expect(told).toHaveLength(cuts);
    expect(told[0]).toMatchObject({ level: 'warn', about: { user: 'admin', ipnr: '127.0.0.1', seconds: 0.3 } });
  });

  it('is left alone while nothing waits for it', async () => {
    await start({ stuck: 200, heartbeat: 50 });
    const stream = await open();
    const since = performance.now();
    await waitUntil(() => performance.now() - since > 600, 'three times as long');
    await server.put('Still', 'there');
    expect(await stream.next()).toMatchObject({ event: 'wiki.created' });
    expect(await metric('tidemark_event_streams_cut_off_total')).toBe(0);
    await stream.cancel();
  });
});

it('streams from everywhere are each told of every change once and in order, while changes come', async () => {
  await start();
  for (let n = 0; n < 5; n++) await pages(400, `Before ${n} `);
  const before = await journal();
  const starts = Array.from({ length: 30 }, (_, n) => before[Math.floor((n * before.length) / 30)] as string);
  const streams = await Promise.all(starts.map((cursor) => open(`after=${cursor}`)));
  const writing = Promise.all([
    ...Array.from({ length: 4 }, (_, n) => pages(1_500, `Large ${n} `, 500)),
    ...Array.from({ length: 40 }, (_, n) => server.put(`Small ${n % 7}`, `text ${n}`)),
  ]);
  await writing;
  const all = await journal();
  await Promise.all(
    streams.map(async (stream, n) => {
      const rest = all.slice(all.indexOf(starts[n] as string) + 1);
      const seen: (string | undefined)[] = [];
      while (seen.length < rest.length) seen.push((await stream.next())?.id);
      expect(seen).toEqual(rest);
      await stream.cancel();
    }),
  );
});

it('a client that fell behind what is kept at the head goes on where it was', async () => {
  await start();
  const [behind, abreast] = [slowly((await open()).opening.id as string), await open()];
  await waitUntil(async () => (await metric('tidemark_event_streams')) === 3, 'all are open');
  behind.socket.pause();
  for (let n = 0; n < 4; n++) {
    await pages(4_000, `Round ${n} `, 700);
    for (let read = 0; read < 4_000; read++) await abreast.next();
  }
  behind.socket.resume();
  const expected = await journal();
  await waitUntil(() => behind.ids().length >= expected.length, 'everything has come', 30_000);
  expect(behind.ids()).toEqual(expected);
});

it('a change is rendered once for all clients at the head', async () => {
  await start();
  await server.put('Shared', 'text 0');
  const streams = await Promise.all(Array.from({ length: 20 }, () => open()));
  let asked = 0;
  const query = server.database.query.bind(server.database);
  server.database.query = (text: string, ...rest: never[]) => {
    if (text.includes('json_object_agg(h.field, p.value)')) asked++;
    return query(text, ...rest) as never;
  };
  for (let n = 1; n <= 10; n++) await server.put('Shared', `text ${n}`);
  for (const stream of streams) {
    for (let n = 1; n <= 10; n++) {
      const { fields } = JSON.parse((await stream.next())?.data as string);
      expect(fields.text).toEqual({ old: `text ${n - 1}`, new: `text ${n}` });
    }
    await stream.cancel();
  }
  expect(asked).toBeLessThanOrEqual(10);
});

it('a client of few changes comes back to where it stood, not to the last change that it wanted', async () => {
  await start({ heartbeat: 50 });
  const stream = await server.ask('/journal/stream?resource=wiki');
  const reader = (stream.body as ReadableStream<Uint8Array>).getReader();
  await server.database.query(`SELECT 1`);
  const { cursor } = await (await server.ask('/journal?after=now')).json();
  let text = '';
  while (!/: still here\nid: \S+\n\n/.test(text)) text += Buffer.from((await reader.read()).value ?? []).toString();
  expect(text).toContain(`: still here\nid: ${cursor}\n\n`);
  await reader.cancel();
});

it('clients that are gone before their stream begins leave nothing behind', async () => {
  await start();
  const { hostname, port } = new URL(server.url);
  for (let n = 0; n < 200; n++) {
    const socket = connect(Number(port), hostname, () => {
      const head = `GET /journal/stream HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`;
      socket.write(head, () => (n % 2 === 0 ? socket.destroy() : setImmediate(() => socket.destroy())));
    });
    sockets.push(socket.on('error', () => undefined));
  }
  await waitUntil(() => sockets.every(({ destroyed }) => destroyed), 'all are gone');
  const stream = await open();
  await waitUntil(async () => (await metric('tidemark_event_streams')) === 1, 'one is left');
  await stream.cancel();
  await waitUntil(async () => (await metric('tidemark_event_streams')) === 0, 'none is left');
});

describe('who waits for changes', () => {
  const refused = async (path: string, token = TOKEN) => {
    const answer = await fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${token}` } });
    const { code, detail } = (await answer.json()) as { code: string; detail: string };
    return { status: answer.status, again: answer.headers.get('retry-after'), code, detail };
  };

  it('is refused with 429 when the same user has too many streams and polls, until one ends', async () => {
    await start({ streamsPerUser: 3 });
    const streams = [await open(), await open()];
    const gone = new AbortController();
    const poll = server.ask('/journal?after=&wait=30', { signal: gone.signal }).catch(() => undefined);
    await waitUntil(async () => (await metric('tidemark_long_polls')) === 1, 'the poll waits');
    for (const path of ['/journal/stream', '/journal?wait=1']) {
      expect(await refused(path)).toEqual({
        ...{ status: 429, again: '5', code: 'too_many' },
        detail: '3 clients of the user admin wait for changes already',
      });
    }
    expect((await server.ask('/journal')).status).toBe(200);
    gone.abort();
    await poll;
    await waitUntil(async () => (await metric('tidemark_long_polls')) === 0, 'the poll has ended');
    streams.push(await open());
    for (const stream of streams) await stream.cancel();
    expect(await metric('tidemark_event_streams_refused_total')).toBe(2);
  });

  it('is refused with 503 when the server has no place left, whoever it is', async () => {
    await start({ streams: 2 });
    const streams = [await open(), await open()];
    const { token } = await createToken(server.database, { user: 'joe', roles: ['admin'] } as never);
    expect(await refused('/journal/stream', token)).toEqual({
      ...{ status: 503, again: '5', code: 'unavailable' },
      detail: '2 clients of this server wait for changes already',
    });
    for (const stream of streams) await stream.cancel();
  });
});
