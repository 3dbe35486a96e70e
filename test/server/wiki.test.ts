import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Change } from '#libs/journal';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { type TestServer, testServer } from './server-fixture.ts';

let database: TestDatabase;
let server: TestServer;

beforeAll(async () => {
  database = await testDatabase();
  server = await testServer(database.url);
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const path = (name: string) => `/wiki/${encodeURIComponent(name)}`;

it('a page is created, read, changed and deleted, and each change answers its tid', async () => {
  const created = await server.send('PUT', '/wiki/First', { text: 'one', comment: 'begin' });
  expect(created.status).toBe(201);
  expect(created.headers.get('location')).toBe('/wiki/First');
  const page = await created.json();
  expect(page).toEqual({
    ...{ id: expect.stringMatching(/^\d+$/), name: 'First', version: 1, text: 'one', readonly: false },
    ...{ author: 'admin', comment: 'begin', tid: Number(created.headers.get('tidemark-tid')) },
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
  });

  const read = await server.ask('/wiki/First');
  expect(await read.json()).toEqual(page);
  const changed = await server.put('First', 'two');
  expect([changed.status, (await changed.json()).version]).toEqual([200, 2]);
  expect(Number(changed.headers.get('tidemark-tid'))).toBeGreaterThan(page.tid);
  expect(changed.headers.get('etag')).not.toBe(read.headers.get('etag'));

  const deleted = await server.ask('/wiki/First', { method: 'DELETE' });
  expect(deleted.status).toBe(200);
  expect(Number(deleted.headers.get('tidemark-tid'))).toBeGreaterThan(page.tid);
  expect((await server.ask('/wiki/First')).status).toBe(404);
  expect((await server.ask('/wiki/First', { method: 'DELETE' })).status).toBe(404);
});

it('a page put again as it is answers 200 without a tid', async () => {
  await server.put('Same', 'text');
  const again = await server.put('Same', 'text');
  expect([again.status, again.headers.get('tidemark-tid')]).toEqual([200, null]);
  expect(await again.json()).toMatchObject({ name: 'Same', version: 1, text: 'text', author: 'admin' });
});

it('the readonly flag changes without a new version', async () => {
  await server.put('Flag', 'text');
  const flagged = await server.send('PUT', '/wiki/Flag', { text: 'text', readonly: true });
  expect(await flagged.json()).toMatchObject({ version: 1, readonly: true });
  expect(await (await server.put('Flag', 'more')).json()).toMatchObject({ version: 2, readonly: true });
});

it.each([
  'Deep/er/page',
  'Ünï cödé',
  'emoji 😀/漢字',
  'a%2Fb',
  '50% & more?#;+=',
  'quote\'"\\',
  '...',
  'a.b/..c',
  '*',
  ':name',
])('the name %j goes through put, get, list, history and rename', async (name) => {
  const put = await server.put(name, `text of ${name}`);
  expect(put.status).toBe(201);
  const tid = put.headers.get('tidemark-tid') as string;
  expect((await (await server.ask(path(name))).json()).name).toBe(name);
  const listed = await server.ask(`/wiki?prefix=${encodeURIComponent(name)}`, {
    headers: { 'tidemark-wait-for': tid },
  });
  expect((await listed.json()).items).toContain(name);
  const renamed = await server.send('POST', `${path(name)}/rename`, { to: `${name} renamed` });
  expect(await renamed.json()).toMatchObject({ name: `${name} renamed`, version: 1 });
  const history = await server.ask(`${path(`${name} renamed`)}/history`);
  expect((await history.json()).items.map((change: Change) => change.change)).toEqual(['MODIFY', 'CREATE']);
});

it('a rename with redirect leaves a page that points to the new name', async () => {
  await server.put('Old', 'text');
  const renamed = await server.send('POST', '/wiki/Old/rename', { to: 'New', redirect: true });
  expect(renamed.status).toBe(200);
  expect(await renamed.json()).toMatchObject({ name: 'New', text: 'text', version: 1 });
  expect(await (await server.ask('/wiki/Old')).json()).toMatchObject({
    text: 'See [wiki:"New"].',
    version: 1,
  });
});

it('a rename is refused when the page is missing and when the new name is bad, the same or taken', async () => {
  await server.put('Here', 'text');
  await server.put('Taken', 'text');
  const statuses = [];
  for (const [from, to] of [
    ['Nowhere', 'X'],
    ['Here', ''],
    ['Here', 'a//b'],
    ['Here', 'Here'],
    ['Here', 'Taken'],
  ]) {
    statuses.push((await server.send('POST', `${path(from as string)}/rename`, { to })).status);
  }
  expect(statuses).toEqual([404, 422, 422, 422, 409]);
  expect((await server.ask('/wiki/Here')).status).toBe(200);
});

it('old versions and earlier moments of a page can be read, also after its deletion', async () => {
  const first = await (await server.put('Timed', 'one')).json();
  const second = await (await server.put('Timed', 'two')).json();
  await server.send('PUT', '/wiki/Timed', { text: 'two', readonly: true });
  const readOld = async (query: string) => (await server.ask(`/wiki/Timed?${query}`)).json();
  expect(await readOld('version=1')).toEqual(first);
  expect(await readOld('version=2')).toEqual(second);
  expect(await readOld(`as_of=${first.tid}`)).toEqual(first);
  expect(await readOld(`as_of=${encodeURIComponent(second.time)}`)).toEqual(second);

  await server.ask('/wiki/Timed', { method: 'DELETE' });
  expect(await readOld(`as_of=${second.tid}`)).toEqual(second);
  expect((await server.ask('/wiki/Timed?version=1')).status).toBe(404);
  const history = await (await server.ask('/wiki/Timed/history')).json();
  expect(history.items.map((change: Change) => change.change)).toEqual(['DELETE', 'MODIFY', 'MODIFY', 'CREATE']);
  expect(history.items[0].fields.text).toEqual({ old: 'two', new: null });
});

it('as_of finds a page by the name it had then', async () => {
  const { tid } = await (await server.put('Before', 'text')).json();
  const renamed = await (await server.send('POST', '/wiki/Before/rename', { to: 'After' })).json();
  expect((await server.ask(`/wiki/Before?as_of=${tid}`)).status).toBe(200);
  expect((await server.ask(`/wiki/After?as_of=${tid}`)).status).toBe(404);
  expect((await server.ask(`/wiki/Before?as_of=${renamed.tid}`)).status).toBe(404);
  expect((await server.ask(`/wiki/After?as_of=${renamed.tid}`)).status).toBe(200);
});

it('history is paged newest first', async () => {
  for (let n = 1; n <= 5; n++) await server.put('Paged', `text ${n}`);
  const texts: string[] = [];
  let next: string | null = '';
  for (let pages = 0; next !== null; pages++) {
    const page: { items: Change[]; next: string | null } = await (
      await server.ask(`/wiki/Paged/history?limit=2&cursor=${next}`)
    ).json();
    expect([page.items.length, pages < 3]).toEqual([pages === 2 ? 1 : 2, true]);
    texts.push(...page.items.map((change) => String(change.fields['text']?.new)));
    next = page.next;
  }
  expect(texts).toEqual(['text 5', 'text 4', 'text 3', 'text 2', 'text 1']);
});

it('a cursor of a history that names a tid alone goes on after it', async () => {
  for (let n = 1; n <= 3; n++) await server.put('Continued', `text ${n}`);
  const { next } = await (await server.ask('/wiki/Continued/history?limit=1')).json();
  const [epoch, tid, ...inside] = JSON.parse(Buffer.from(next, 'base64url').toString());
  expect(inside).toEqual(['wiki', expect.stringMatching(/^\d+$/)]);
  const cursor = Buffer.from(JSON.stringify([epoch, tid])).toString('base64url');
  const answers = [next, cursor].map(async (one) => (await server.ask(`/wiki/Continued/history?cursor=${one}`)).json());
  const [page, same] = await Promise.all(answers);
  expect(page.items.map((change: Change) => change.fields['text']?.new)).toEqual(['text 2', 'text 1']);
  expect(same).toEqual(page);
});

it('a history of large texts is cut into pages before it fills the memory', async () => {
  const filler = 'x'.repeat(1_500_000);
  for (let n = 1; n <= 12; n++) await server.put('Heavy', `${n} ${filler}`);
  let seen = 0;
  let pages = 0;
  for (let next: string | null = ''; next !== null; pages++) {
    const page: { items: Change[]; next: string | null } = await (
      await server.ask(`/wiki/Heavy/history?limit=500&cursor=${next}`)
    ).json();
    seen += page.items.length;
    next = page.next;
  }
  expect([seen, pages]).toEqual([12, 2]);
});

it('the list is paged by name within a prefix', async () => {
  const names = ['Lst/a', 'Lst/b', 'Lst/c', 'Lst/ｆ', 'Lst/😀'];
  let tid = '0';
  for (const name of names.toReversed()) tid = (await server.put(name, 'x')).headers.get('tidemark-tid') as string;
  await server.put('Lsu', 'x');
  const listed: string[] = [];
  let next: string | null = '';
  while (next !== null) {
    const page: { items: string[]; next: string | null } = await (
      await server.ask(`/wiki?prefix=Lst/&limit=2&cursor=${next}`, { headers: { 'tidemark-wait-for': tid } })
    ).json();
    listed.push(...page.items);
    next = page.next;
  }
  expect(listed).toEqual(names);
});

it('contents that are bytes are shown in base64, and a put makes them text', async () => {
  await server.database.query(`INSERT INTO wiki (name, bytes) VALUES ('Bytes', '\\x00ff')`);
  const page = await (await server.ask('/wiki/Bytes')).json();
  expect(page).toMatchObject({ text: null, bytes: Buffer.from([0, 255]).toString('base64'), version: 1 });
  expect(await (await server.ask(`/wiki/Bytes?as_of=${page.tid}`)).json()).toEqual(page);
  const put = await (await server.put('Bytes', 'text')).json();
  expect(put).toMatchObject({ text: 'text', version: 2 });
  expect(put).not.toHaveProperty('bytes');
});

it('of many who put a new page at once one creates it, and the rest modify it', async () => {
  const answers = await Promise.all(Array.from({ length: 12 }, (_, n) => server.put('Race', `text ${n}`)));
  expect(answers.map((answer) => answer.status).sort()).toEqual([...Array(11).fill(200), 201]);
  const history = await (await server.ask('/wiki/Race/history')).json();
  const changes = history.items.map((change: Change) => change.change);
  expect([changes.length, changes.at(-1), new Set(changes.slice(0, -1))]).toEqual([12, 'CREATE', new Set(['MODIFY'])]);
});

it('as many renames of a page that is missing as there are connections wait for none', async () => {
  const rename = () => server.send('POST', '/wiki/Never/rename', { to: 'Ever' });
  const answers = await Promise.all(Array.from({ length: 40 }, rename));
  expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([404]));
});

it('pages put, renamed and deleted at once never end in an internal error', async () => {
  const work = Array.from({ length: 60 }, (_, n) => {
    if (n % 3 === 0) return server.put(`Churn ${n % 2}`, `text ${n}`);
    if (n % 3 === 1) return server.ask(`/wiki/Churn ${n % 2}`, { method: 'DELETE' });
    return server.send('POST', `/wiki/Churn ${n % 2}/rename`, {
      to: `Churn ${(n + 1) % 2}`,
      redirect: n % 4 === 0,
    });
  });
  const statuses = (await Promise.all(work)).map((answer) => answer.status);
  expect(statuses.filter((status) => ![200, 201, 404, 409].includes(status))).toEqual([]);
  const { rows } = await server.database.query(`SELECT * FROM tidemark.drift('wiki')`);
  expect(rows).toEqual([]);
});
