import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { applyPatch } from 'diff';
import fc from 'fast-check';
import { createToken } from '#libs/access';
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
const detail = async (url: string) => {
  const answer = await server.ask(url);
  const { code, detail } = await answer.json();
  return [answer.status, code, detail];
};

/** Writes a page and answers the tid, for reads that need to see it in the caches. */
async function put(name: string, text: string): Promise<Record<string, string>> {
  const answer = await server.put(name, text);
  return { 'tidemark-wait-for': String(answer.headers.get('tidemark-tid')) };
}

describe('the diff of two versions', () => {
  it('is by default that of the last change, and of any two otherwise', async () => {
    for (const text of ['one\ntwo\n', 'one\ntwo\nthree\n', 'one\nthree']) await server.put('Diff/Page', text);
    const last = await (await server.ask(`${path('Diff/Page')}/diff`)).json();
    expect(last).toEqual({
      ...{ name: 'Diff/Page', from: 2, to: 3 },
      diff:
        '--- Diff/Page\tversion 2\n+++ Diff/Page\tversion 3\n' +
        '@@ -1,3 +1,2 @@\n one\n-two\n-three\n+three\n\\ No newline at end of file\n',
    });
    const read = async (query: string) => (await server.ask(`${path('Diff/Page')}/diff?${query}`)).json();
    expect(await read('to=1')).toMatchObject({
      from: 0,
      to: 1,
      diff: expect.stringContaining('@@ -0,0 +1,2 @@\n+one'),
    });
    expect(await read('from=3&to=1')).toMatchObject({ from: 3, to: 1, diff: expect.stringContaining('+two\n') });
    expect(await read('from=2')).toEqual(last);
    expect(await read('from=2&to=2')).toMatchObject({ from: 2, to: 2, diff: '' });
    expect(await read('to=0')).toMatchObject({ from: 0, to: 0, diff: '' });
  });

  it.each([
    [undefined, 'application/json'],
    ['*/*', 'application/json'],
    ['text/x-diff', 'text/x-diff'],
    ['text/plain', 'text/plain'],
    ['text/*;q=0.5, application/json;q=0.4', 'text/x-diff'],
    ['text/plain;q=0.9, text/x-diff;q=0.2, */*;q=0.1', 'text/plain'],
    ['image/png', 'application/json'],
    ['text/x-diff;q=0, text/html', 'application/json'],
    [';;,q=,', 'application/json'],
  ])('is text for those who ask for text: Accept %j', async (accept, type) => {
    await server.put('Text', 'a\n');
    const answer = await server.ask('/wiki/Text/diff', { headers: accept === undefined ? {} : { accept } });
    expect(answer.headers.get('content-type')).toBe(`${type}; charset=utf-8`);
    expect(answer.headers.get('vary')).toBe('Accept');
    const text = await answer.text();
    const diff = type === 'application/json' ? JSON.parse(text).diff : text;
    expect(diff).toBe('--- Text\tversion 0\n+++ Text\tversion 1\n@@ -0,0 +1,1 @@\n+a\n');
  });

  it('is refused with a sentence where there is none', async () => {
    await server.put('Refused', 'a');
    expect(await detail('/wiki/Refused/diff?to=2')).toEqual([404, 'not_found', 'page "Refused" has no version 2']);
    expect(await detail('/wiki/Refused/diff?from=7')).toEqual([404, 'not_found', 'page "Refused" has no version 7']);
    expect(await detail('/wiki/Nowhere/diff')).toEqual([404, 'not_found', 'no page is named "Nowhere"']);
    for (const query of ['from=x', 'to=-1', 'to=1.5', 'from=99999999999', 'to=1&to=2', 'between=1']) {
      expect((await detail(`/wiki/Refused/diff?${query}`)).slice(0, 2)).toEqual([422, 'invalid']);
    }
    await server.database.query(`INSERT INTO wiki (name, bytes) VALUES ('Bytes', '\\x00')`);
    expect(await detail('/wiki/Bytes/diff')).toEqual([
      ...[422, 'invalid', 'version 1 of page "Bytes" is held as bytes, which are no text: there is no diff of it'],
    ]);
    expect((await server.ask('/wiki/Bytes/diff?from=0&to=0')).status).toBe(200);
  });

  it('makes one version of the other when it is applied, whatever the texts and the name', async () => {
    const line = fc.oneof(
      fc.constantFrom('a', 'b', '', '\r', '-', '+++ x', '\\ No newline at end of file', '\u2028'),
      fc.string(),
    );
    const text = fc.array(line, { maxLength: 8 }).map((lines) => lines.join('\n').replaceAll('\0', ''));
    const name = `Odd "${'\t'}name\\ é`;
    let before = '';
    await fc.assert(
      fc.asyncProperty(text, async (after) => {
        fc.pre(after !== before && after.isWellFormed());
        const { version } = await (await server.put(name, after)).json();
        const { diff } = await (await server.ask(`${path(name)}/diff`)).json();
        expect([diff.startsWith('--- "Odd'), applyPatch(before, diff, { autoConvertLineEndings: false })]).toEqual([
          true,
          after,
        ]);
        const { diff: all } = await (await server.ask(`${path(name)}/diff?from=0&to=${version}`)).json();
        expect(after === '' ? all : applyPatch('', all, { autoConvertLineEndings: false })).toBe(after);
        before = after;
      }),
      { numRuns: 50 },
    );
  });

  it('of two texts of 5 MB holds nobody up, and is refused when it would take too long', async () => {
    const lines = Array.from({ length: 70_000 }, (_, n) => `line ${n} ${'x'.repeat(60)}\n`);
    await server.put('Large', lines.join(''));
    await server.put('Large', lines.map((text, n) => (n % 1_000 ? text : `changed ${n}\n`)).join(''));
    await server.put('Large', Array.from({ length: 2_000_000 }, (_, n) => 'abcdefg'[(n * n) % 7]).join('\n'));
    let ticks = 0;
    const ticking = setInterval(() => ticks++, 10);
    const some = server.ask('/wiki/Large/diff?from=1&to=2');
    const much = server.ask('/wiki/Large/diff');
    expect(((await (await some).json()) as { diff: string }).diff.match(/^\+changed/gm)).toHaveLength(70);
    expect([(await much).status, (await (await much).json()).detail]).toEqual([
      ...[422, 'versions 2 and 3 of page "Large" differ too much for a diff: read them with ?version='],
    ]);
    clearInterval(ticking);
    // made in this thread, it would let a handful through
    expect(ticks).toBeGreaterThan(40);
  });
});

describe('the links of a page', () => {
  it('say which pages exist, and follow the map of InterMapTxt', async () => {
    await put('Links/There', 'x');
    await put('InterMapTxt', '----\nMeatBall http://mb.example/?  # MeatBall\n');
    const headers = await put(
      'Links/Page',
      'WikiMissing [../There label] meatball:Some ticket:1 {{{WikiCode}}} [[/x|y]] [wiki:a//b bad]',
    );
    const answer = await server.ask(`${path('Links/Page')}/links`, { headers });
    expect(await answer.json()).toEqual({
      items: [
        {
          text: 'WikiMissing',
          kind: 'page',
          target: 'Links/WikiMissing',
          exists: false,
          url: '/wiki/Links%2FWikiMissing',
        },
        { text: 'label', kind: 'page', target: 'Links/There', exists: true, url: '/wiki/Links%2FThere' },
        {
          text: 'meatball:Some',
          kind: 'interwiki',
          target: 'meatball:Some',
          exists: null,
          url: 'http://mb.example/?Some',
        },
        { text: 'bad', kind: 'page', target: 'a//b', exists: false, url: null },
      ],
      next: null,
    });
  });

  it('change with the map: when its page is changed, renamed, deleted, made anew, by whomever', async () => {
    await put('Mapped', 'p:x q:x');
    const urls = async (headers: Record<string, string>) => {
      const { items } = await (await server.ask('/wiki/Mapped/links', { headers })).json();
      return items.map(({ url }: { url: string }) => url);
    };
    const rename = async (from: string, to: string) => {
      const answer = await server.send('POST', `/wiki/${from}/rename`, { to });
      return { 'tidemark-wait-for': String(answer.headers.get('tidemark-tid')) };
    };
    expect(await urls(await put('InterMapTxt', '----\np http://one/'))).toEqual(['http://one/x']);
    expect(await urls(await put('InterMapTxt', '----\nq http://two/'))).toEqual(['http://two/x']);
    await put('OtherMap', '----\np http://other/');
    expect(await urls(await rename('InterMapTxt', 'OldMap'))).toEqual([]);
    expect(await urls(await rename('OtherMap', 'InterMapTxt'))).toEqual(['http://other/x']);
    expect(await urls(await put('OldMap', '----\nq http://old/'))).toEqual(['http://other/x']);
    const sql = await server.database.query(
      `UPDATE wiki SET text = E'----\\nq http://sql/' WHERE name = 'InterMapTxt'`,
    );
    expect(sql.rowCount).toBe(1);
    expect(await urls(await put('Unrelated', 'x'))).toEqual(['http://sql/x']);
    const gone = await server.ask('/wiki/InterMapTxt', { method: 'DELETE' });
    expect(await urls({ 'tidemark-wait-for': String(gone.headers.get('tidemark-tid')) })).toEqual([]);
    expect(await urls(await put('InterMapTxt', '----\np http://new/'))).toEqual(['http://new/x']);
  });

  it('lead those who may not create pages to none that is missing', async () => {
    const { token } = await createToken(server.database, { user: 'joe', roles: ['viewer'] });
    const headers = { ...(await put('Viewed', 'WikiNowhere Viewed wiki:Viewed')), authorization: `Bearer ${token}` };
    const { items } = await (await server.ask('/wiki/Viewed/links', { headers })).json();
    expect(items.map(({ url }: { url: string | null }) => url)).toEqual([null, '/wiki/Viewed']);
  });

  it('come in pages of one version, in the order of the text', async () => {
    const words = Array.from({ length: 1_234 }, (_, n) => `wiki:page${n}`);
    await put('Many', words.join(' '));
    const first = await (await server.ask('/wiki/Many/links')).json();
    expect([first.items.length, first.items[0].text]).toEqual([500, 'wiki:page0']);
    await put('Many', 'nothing');
    const second = await (await server.ask(`/wiki/Many/links?limit=500&cursor=${first.next}`)).json();
    const third = await (await server.ask(`/wiki/Many/links?cursor=${second.next}`)).json();
    const texts = [first, second, third].flatMap(({ items }) => items.map(({ text }: { text: string }) => text));
    expect([texts, third.next]).toEqual([words, null]);
  });

  it('are none of a page held as bytes; a missing page and a foreign cursor are refused', async () => {
    await server.database.query(`INSERT INTO wiki (name, bytes) VALUES ('MoreBytes', '\\x00')`);
    expect(await (await server.ask('/wiki/MoreBytes/links')).json()).toEqual({ items: [], next: null });
    expect(await detail('/wiki/Nowhere/links')).toEqual([404, 'not_found', 'no page is named "Nowhere"']);
    const { next } = await (await server.ask('/wiki?limit=1')).json();
    expect(await detail(`/wiki/MoreBytes/links?cursor=${next}`)).toEqual([
      ...[400, 'malformed', 'the cursor is not one of this list'],
    ]);
    expect((await detail('/wiki/MoreBytes/links?limit=501'))[0]).toBe(422);
  });
});
