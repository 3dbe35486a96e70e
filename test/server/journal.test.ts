import { type IncomingMessage, request } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import type { Change } from '#libs/journal';
import { LIMITS } from '../../apps/server/limits.ts';
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
  return tidOfLast();
}

async function tidOfLast(): Promise<number> {
  const { rows } = await server.database.query<{ tid: number }>('SELECT max(tid) AS tid FROM wiki_journal');
  return Number(rows[0]?.tid);
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
  const together: string[] = [];
  const lengths: number[] = [];
  for (let next = ''; next !== null; ) {
    const answer = await (await server.ask(`/journal/${tid}?${next && `cursor=${next}`}`)).json();
    together.push(...answer.changes.map(place));
    lengths.push(answer.changes.length);
    next = answer.next;
  }
  expect([together, lengths]).toEqual([seen, [500, 500, 50]]);
});

it('the changes of one tid end with next: null, also when a page is just full', async () => {
  const tid = await pages(4, 'Four ');
  const part = async (query: string) => (await server.ask(`/journal/${tid}?${query}`)).json();
  const [all, first] = [await part(''), await part('limit=3')];
  expect([all.changes.length, all.next, (await part('limit=4')).next]).toEqual([4, null, null]);
  const second = await part(`limit=3&cursor=${first.next}`);
  expect([...first.changes, ...second.changes]).toEqual(all.changes);
  expect(second.next).toBeNull();
  expect((await server.ask(`/journal/${tid + 1_000_000}`)).status).toBe(404);
  const elsewhere = await read('after=now');
  for (const query of [`cursor=${elsewhere.cursor}`, 'cursor=x', `cursor=${(await part('limit=1')).next}x`])
    expect((await server.ask(`/journal/${tid}?${query}`)).status).toBe(400);
  expect((await server.ask(`/journal/${tid - 1}?cursor=${first.next}`)).status).toBe(400);
  for (const query of ['limit=0', 'limit=501', 'after=1'])
    expect((await server.ask(`/journal/${tid}?${query}`)).status).toBe(422);
});

it('an answer is cut short when old or new values are large, and nothing is missing behind the cut', async () => {
  const { cursor: before } = await read('after=now');
  const large = (sql: string) => server.database.query(sql.replaceAll('BIG', `repeat('x', 400000)`));
  await large(
    `INSERT INTO wiki (name, text) SELECT 'Large ' || g, CASE WHEN g > 5 THEN BIG ELSE 'small' END FROM generate_series(1, 40) g`,
  );
  const created = await tidOfLast();
  await large(
    `UPDATE wiki SET text = CASE WHEN name < 'Large 2' THEN BIG || 'y' ELSE 'short' END WHERE name LIKE 'Large %'`,
  );
  const modified = await tidOfLast();
  await large(`DELETE FROM wiki WHERE name LIKE 'Large %'`);
  const deleted = await tidOfLast();
  const sizes: number[] = [];
  const all: Change[] = [];
  for (const tid of [created, modified, deleted]) {
    const seen: Change[] = [];
    for (let next = ''; next !== null; ) {
      const text = await (await server.ask(`/journal/${tid}?${next && `cursor=${next}`}`)).text();
      sizes.push(text.length);
      seen.push(...JSON.parse(text).changes);
      ({ next } = JSON.parse(text));
    }
    expect(new Set(seen.map(place)).size).toBe(40);
    all.push(...seen);
  }
  expect(all.filter(({ fields }) => fields['text']?.old === 'short').length).toBeGreaterThan(20);
  expect(Math.max(...sizes)).toBeLessThan(18_000_000);
  expect(sizes.length).toBeGreaterThan(4);
  const fed: Change[] = [];
  for (let cursor = before, length = 1; length > 0; ) {
    const page = await read(`after=${cursor}&limit=500`);
    ({ cursor } = page);
    length = page.changes.length;
    fed.push(...page.changes);
  }
  expect(fed.map(place)).toEqual(all.map(place));
  expect(fed.every((change, n) => change.fields['text']?.old === all[n]?.fields['text']?.old)).toBe(true);
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

it('a stream without changes sends a comment every 15 seconds, here every 100 ms', async () => {
  expect(LIMITS.heartbeat).toBe(15_000);
  const own = await testServer(database.url, {}, { limits: { heartbeat: 100 } });
  const answer = await own.ask('/journal/stream');
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
  let received = '';
  while ((received.match(/^: still here$/gm)?.length ?? 0) < 3) {
    received += Buffer.from((await reader.read()).value ?? []).toString();
  }
  await reader.cancel();
  await own.close();
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
