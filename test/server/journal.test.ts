import { type IncomingMessage, request } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import type { Change } from '#libs/journal';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { type TestServer, TOKEN, testServer } from './server-fixture.ts';
import { readEvents } from './sse.ts';

let database: TestDatabase;
let owner: Database;
let server: TestServer;

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl });
  server = await testServer(database.url);
});
afterAll(async () => {
  await server?.close();
  await owner?.close();
  await database?.drop();
});

async function read(query: string): Promise<{ changes: Change[]; cursor: string }> {
  const answer = await server.ask(`/journal?${query}`);
  expect(answer.status).toBe(200);
  return answer.json();
}

async function openStream(query = '', headers: Record<string, string> = {}) {
  const answer = await server.ask(`/journal/stream?${query}`, { headers });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
  return readEvents(answer.body as ReadableStream<Uint8Array>);
}

async function pages(count: number, prefix: string): Promise<number> {
  await server.database.query(
    `INSERT INTO wiki (name, text) SELECT $1 || n, 'text' FROM generate_series(1, $2::int) n`,
    [prefix, count],
  );
  const { rows } = await server.database.query<{ tid: number }>('SELECT max(tid) AS tid FROM wiki_journal');
  return (rows[0] as { tid: number }).tid;
}

const place = ({ tid, id }: { tid: number; id: string }) => `${tid}/${id}`;

it('the journal is read from the beginning, from a cursor and from now', async () => {
  const { cursor: now } = await read('after=now');
  const { tid, id } = await (await server.put('Read', 'one')).json();
  const { changes, cursor } = await read(`after=${now}`);
  expect(changes).toEqual([
    {
      ...{ tid, id, resource: 'wiki', change: 'CREATE', time: expect.any(String), author: 'admin' },
      ...{
        ipnr: '127.0.0.1',
        authenticated: true,
        origin: server.kernel.origin,
        txn: tid,
        comment: null,
        meta: null,
      },
      fields: {
        id: { old: null, new: Number(id) },
        name: { old: null, new: 'Read' },
        text: { old: null, new: 'one' },
        readonly: { old: null, new: false },
        version: { old: null, new: 1 },
      },
    },
  ]);
  expect((await read(`after=${cursor}`)).changes).toEqual([]);
  await server.put('Read', 'two');
  const [modified] = (await read(`after=${cursor}`)).changes;
  expect(modified).toMatchObject({ change: 'MODIFY', fields: { text: { old: 'one', new: 'two' } } });
  expect((await read('')).changes[0]?.tid).toBeLessThanOrEqual(tid);
});

it('a tid with many changes is paged in its middle', async () => {
  const { cursor: before } = await read('after=now');
  const tid = await pages(1_050, 'Many ');
  const seen: string[] = [];
  let cursor = before;
  for (let length = 1; length > 0; ) {
    const page = await read(`after=${cursor}&limit=100&resource=wiki`);
    length = page.changes.length;
    seen.push(...page.changes.map(place));
    cursor = page.cursor;
  }
  expect([seen.length, new Set(seen).size]).toEqual([1_050, 1_050]);
  const answer = await (await server.ask(`/journal/${tid}`)).json();
  expect(answer.changes.map(place)).toEqual(seen);
});

it('a long poll answers as soon as there is a change, and empty when its time is over', async () => {
  const { cursor } = await read('after=now');
  expect(await read(`after=${cursor}&wait=1`)).toEqual({ changes: [], cursor: expect.any(String) });
  const polled = read(`after=${cursor}&wait=30`);
  await server.put('Polled', 'text');
  expect((await polled).changes.map((change) => change.fields['name']?.new)).toEqual(['Polled']);
});

it('the stream tells of each change from now on, raw SQL included', async () => {
  const stream = await openStream();
  const { id } = await (await server.put('Streamed', 'one')).json();
  await server.database.query(`UPDATE wiki SET text = 'two' WHERE name = 'Streamed'`);
  await server.ask('/wiki/Streamed', { method: 'DELETE' });
  const events = [await stream.next(), await stream.next(), await stream.next()];
  expect(events.map((event) => event?.event)).toEqual(['wiki.created', 'wiki.modified', 'wiki.deleted']);
  const changes = events.map((event) => JSON.parse(event?.data as string) as Change);
  expect(changes.map((change) => change.id)).toEqual([id, id, id]);
  expect(changes[1]).toMatchObject({ origin: null, fields: { text: { old: 'one', new: 'two' } } });
  await stream.cancel();
});

it('a stream that broke off in the middle of a tid is resumed behind its last id', async () => {
  const first = await openStream();
  const tid = await pages(3_000, 'Resumed ');
  const seen: string[] = [];
  let last = '';
  for (let n = 0; n < 1_234; n++) {
    const event = await first.next();
    seen.push(place(JSON.parse(event?.data as string)));
    last = event?.id as string;
  }
  await first.cancel();

  const second = await openStream('', { 'last-event-id': last });
  while (seen.length < 3_000) seen.push(place(JSON.parse((await second.next())?.data as string)));
  await second.cancel();
  expect(new Set(seen).size).toBe(3_000);
  expect(seen.every((where) => where.startsWith(`${tid}/`))).toBe(true);
});

it('a client that broke off before any change comes back to where it began', async () => {
  const first = await openStream();
  await first.cancel();
  await server.put('Meanwhile', 'text');
  const second = await openStream('', { 'last-event-id': first.opening.id as string });
  expect(JSON.parse((await second.next())?.data as string)).toMatchObject({
    fields: { name: { new: 'Meanwhile' } },
  });
  await second.cancel();
});

it('one resource can be read and followed alone', async () => {
  await owner.query('CREATE TABLE note (id int PRIMARY KEY, said text)');
  await owner.query(`SELECT tidemark.journal_table('note')`);
  const { cursor } = await read('after=now');
  const stream = await openStream('resource=note');
  await server.put('Other', 'text');
  await owner.query(`INSERT INTO note VALUES (1, 'hello')`);
  expect(await stream.next()).toMatchObject({ event: 'note.created' });
  await stream.cancel();
  expect((await read(`after=${cursor}&resource=note`)).changes.map((change) => change.resource)).toEqual(['note']);
});

const itLong = process.env['TIDEMARK_TEST_LONG'] ? it : it.skip;

itLong('a stream without changes sends a comment every 15 seconds (takes 20 s: in test:long)', async () => {
  const answer = await server.ask('/journal/stream');
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
  const since = performance.now();
  let received = '';
  while (!received.includes('\n:')) received += Buffer.from((await reader.read()).value ?? []).toString();
  expect(Math.round((performance.now() - since) / 1000)).toBe(15);
  await reader.cancel();
});

it('a client that does not read costs no memory, and gets everything when it reads', async () => {
  const response = await slowClient();
  const filler = 'x'.repeat(1_000_000);
  await server.put('Big', filler);
  const before = usedMemory();
  // each event holds the old and the new text: 180 MB in all, and the server keeps a bounded part of it
  for (let n = 1; n <= 90; n++) await server.put('Big', `version ${n} ${filler}`);
  expect(usedMemory() - before).toBeLessThan(100_000_000);

  let texts = 0;
  response.setEncoding('utf8');
  for await (const chunk of response) {
    texts += (chunk as string).match(/"new":"version \d+ /g)?.length ?? 0;
    if ((chunk as string).includes('"new":"version 90 ')) break;
  }
  expect(texts).toBeGreaterThan(85);
});

/** What is still in use after a collection. */
function usedMemory(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function slowClient(): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = request(`${server.url}/journal/stream`, { headers: { authorization: `Bearer ${TOKEN}` } }, resolve);
    asked.on('error', reject).end();
  });
}
