import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { type Answer, type TestServer, testServer } from './server-fixture.ts';

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

const put = (name: string, text: string, headers: Record<string, string> = {}) =>
  server.send('PUT', `/wiki/${encodeURIComponent(name)}`, { text }, headers);
const etag = (answer: Answer) => answer.headers.get('etag') as string;
const head = async () => (await (await server.ask('/status')).json()).head;

async function refused(answer: Answer, status: number, code: string): Promise<string> {
  const body = await answer.json();
  expect([answer.status, body.code]).toEqual([status, code]);
  expect(answer.headers.get('tidemark-tid')).toBeNull();
  return body.detail;
}

it('If-Match lets a change pass at the version that it names, and no later', async () => {
  const first = await put('Matched', 'one');
  const second = await put('Matched', 'two', { 'if-match': etag(first) });
  expect(second.status).toBe(200);
  const before = await head();
  const late = await put('Matched', 'three', { 'if-match': etag(first) });
  expect(etag(late)).toBe(etag(second));
  expect(await refused(late, 412, 'stale')).toContain('has changed');
  expect(await head()).toBe(before);
  expect((await (await server.ask('/wiki/Matched')).json()).text).toBe('two');
});

it('one of several tags is enough, and a weak tag meets nothing', async () => {
  const first = await put('Listed', 'one');
  expect((await put('Listed', 'two', { 'if-match': `"other", ${etag(first)}` })).status).toBe(200);
  const now = etag(await server.ask('/wiki/Listed'));
  await refused(await put('Listed', 'three', { 'if-match': `W/${now}` }), 412, 'stale');
});

it('a change that changes nothing still needs the version it names', async () => {
  const first = await put('Same', 'one');
  await put('Same', 'two');
  await refused(await put('Same', 'two', { 'if-match': etag(first) }), 412, 'stale');
});

it('If-None-Match: * creates, and never overwrites', async () => {
  const created = await put('Only/new', 'one', { 'if-none-match': '*' });
  expect(created.status).toBe(201);
  const again = await put('Only/new', 'two', { 'if-none-match': '*' });
  expect(etag(again)).toBe(etag(created));
  expect(await refused(again, 412, 'stale')).toContain('exists');
});

it('If-Match on a page that does not exist is 412 for PUT, which would create it, and 404 for DELETE', async () => {
  for (const match of ['*', '"1-1"']) {
    const answer = await put('Missing', 'text', { 'if-match': match });
    expect(answer.headers.get('etag')).toBeNull();
    await refused(answer, 412, 'stale');
    const gone = await server.ask('/wiki/Missing', { method: 'DELETE', headers: { 'if-match': match } });
    await refused(gone, 404, 'not_found');
  }
});

it('DELETE and rename are conditional, too', async () => {
  const first = await put('Moving', 'one');
  const second = await put('Moving', 'two');
  const stale = { 'if-match': etag(first) };
  await refused(await server.ask('/wiki/Moving', { method: 'DELETE', headers: stale }), 412, 'stale');
  await refused(await server.send('POST', '/wiki/Moving/rename', { to: 'Moved' }, stale), 412, 'stale');
  const renamed = await server.send('POST', '/wiki/Moving/rename', { to: 'Moved' }, { 'if-match': etag(second) });
  expect(renamed.status).toBe(200);
  const none = { 'if-none-match': '*' };
  await refused(await server.ask('/wiki/Moved', { method: 'DELETE', headers: none }), 412, 'stale');
  const deleted = await server.ask('/wiki/Moved', { method: 'DELETE', headers: { 'if-match': etag(renamed) } });
  expect(deleted.status).toBe(200);
});

it('a page that is made again under a name has an ETag that the name never had', async () => {
  const seen = new Set<string>();
  for (let n = 0; n < 3; n++) {
    seen.add(etag(await put('Phoenix', 'one')));
    seen.add(etag(await put('Phoenix', 'two')));
    await server.ask('/wiki/Phoenix', { method: 'DELETE' });
  }
  expect(seen.size).toBe(6);
});

it.each([
  ['if-match', '1-1'],
  ['if-match', '"a" "b"'],
  ['if-match', '"a",,'],
  ['if-match', 'W/'],
  ['if-match', ' '],
  ['if-none-match', '"1-1"'],
])('%s: %s is malformed and changes nothing', async (header, value) => {
  await refused(await put('Malformed', 'text', { [header]: value }), 400, 'malformed');
  expect((await server.ask('/wiki/Malformed')).status).toBe(404);
});

it('a client that has the representation is answered 304 without it', async () => {
  const tag = etag(await put('Known', 'text'));
  for (const known of [tag, `"x", ${tag}`, `W/${tag}`, '*']) {
    const answer = await server.ask('/wiki/Known', { headers: { 'if-none-match': known } });
    expect([answer.status, etag(answer), await answer.text()]).toEqual([304, tag, '']);
  }
  expect((await server.ask('/wiki/Known', { headers: { 'if-none-match': '"x"' } })).status).toBe(200);
});

it('of eight that save the version they have read, one wins, and none of the texts is lost unseen', async () => {
  await put('Contended', '0');
  for (let round = 1; round <= 20; round++) {
    const tag = etag(await server.ask('/wiki/Contended'));
    const texts = Array.from({ length: 8 }, (_, n) => `${round}/${n}`);
    const answers = await Promise.all(texts.map((text) => put('Contended', text, { 'if-match': tag })));
    const won = answers.flatMap((answer, n) => (answer.status === 200 ? [texts[n]] : []));
    expect(won).toHaveLength(1);
    expect(answers.filter((answer) => answer.status === 412)).toHaveLength(7);
    expect((await (await server.ask('/wiki/Contended')).json()).text).toBe(won[0]);
  }
});
