import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Database, KernelError } from '#libs/database';
import type { Log } from '#libs/dispatch';
import { createKernel, type Kernel } from '#libs/kernel';
import {
  deletePage,
  findPage,
  getPage,
  getPageAsOf,
  getPageHistory,
  getPageVersion,
  MAX_TEXT_BYTES,
  putPage,
  renamePage,
  resources,
} from '#libs/resources';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
const joe = { author: 'joe', ipnr: '10.0.0.1', authenticated: true };
let test: TestDatabase;
let database: Database;
let kernel: Kernel;

beforeAll(async () => {
  test = await testDatabase();
  database = Database.open({ url: test.url });
  kernel = createKernel({ database, resources, log: silent });
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error instanceof KernelError ? error.code : `no KernelError: ${error}`;
}

const changesOfPage = async (name: string) =>
  (await getPageHistory(database, name, { limit: 500 })).map((change) => change.change);

describe('putPage', () => {
  it('creates a page, then changes it, and says which', async () => {
    const first = await putPage(kernel, joe, 'Put', { text: 'one', comment: 'begin' });
    const second = await putPage(kernel, joe, 'Put', { text: 'two' });
    expect([first.created, second.created]).toEqual([true, false]);
    expect(first.page).toMatchObject({ version: 1, text: 'one', comment: 'begin', author: 'joe', row_version: 1 });
    expect(second.page).toMatchObject({ version: 2, text: 'two', comment: null, row_version: 2, id: first.page.id });
    expect(second.tid).toBeGreaterThan(first.tid as number);
    expect(await getPage(database, 'Put')).toEqual(second.page);
  });

  it('with the same text changes nothing and draws no tid', async () => {
    await putPage(kernel, joe, 'Same', { text: 'one', readonly: true });
    const again = await putPage(kernel, { author: 'ann' }, 'Same', { text: 'one' });
    expect([again.created, again.tid, again.page.author, again.page.readonly]).toEqual([false, null, 'joe', true]);
    expect(await changesOfPage('Same')).toEqual(['CREATE']);
  });

  it('of many at once one creates the page and the rest change it', async () => {
    const puts = await Promise.all(
      Array.from({ length: 20 }, (_, n) => putPage(kernel, joe, 'Race', { text: `${n}` })),
    );
    expect(puts.filter((put) => put.created)).toHaveLength(1);
    expect(await changesOfPage('Race')).toEqual([...Array(19).fill('MODIFY'), 'CREATE']);
    expect((await getPage(database, 'Race')).version).toBe(20);
  });

  it('never writes to a page that has just been renamed', async () => {
    await putPage(kernel, joe, 'Moving', { text: 'kept' });
    const connection = await database.connect();
    await connection.query('BEGIN');
    await connection.query(`UPDATE wiki SET name = 'Moved' WHERE name = 'Moving'`);
    const put = putPage(kernel, joe, 'Moving', { text: 'new' });
    await connection.query('COMMIT');
    connection.release();
    expect((await put).created).toBe(true);
    expect((await getPage(database, 'Moved')).text).toBe('kept');
  });

  it.each([
    '',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    'a/../b',
    './a',
    'a\0b',
    '\ud800',
    'x'.repeat(501),
    '漢'.repeat(400) + '😀'.repeat(201),
  ])('refuses the name %.20j', async (name) => {
    expect(await codeOf(putPage(kernel, joe, name, { text: 'a' }))).toBe('invalid');
  });

  it('refuses NUL and half a surrogate pair as invalid and 5 MB and a byte as too large', async () => {
    const put = (text: string, comment = 'c') => codeOf(putPage(kernel, joe, 'Refused', { text, comment }));
    expect([await put('a\0'), await put('\udc00'), await put('a', '\0')]).toEqual(['invalid', 'invalid', 'invalid']);
    expect(await put('é'.repeat(MAX_TEXT_BYTES / 2 + 1))).toBe('too_large');
    expect(await findPage(database, 'Refused')).toBeUndefined();
    await putPage(kernel, joe, 'Largest', { text: 'é'.repeat(MAX_TEXT_BYTES / 2) });
  });
});

describe('deletePage', () => {
  it('deletes, keeps the history, and refuses what is not there', async () => {
    await putPage(kernel, joe, 'Delete', { text: 'last words' });
    const { id, tid } = await deletePage(kernel, joe, 'Delete');
    const [deleted, created] = await getPageHistory(database, 'Delete', { limit: 10 });
    expect(deleted).toMatchObject({ tid, id, change: 'DELETE', fields: { text: { old: 'last words', new: null } } });
    expect(created).toMatchObject({ id, change: 'CREATE' });
    expect(await codeOf(deletePage(kernel, joe, 'Delete'))).toBe('not_found');
    expect(await codeOf(getPage(database, 'Delete'))).toBe('not_found');
  });

  it('a page created again under the name is another page', async () => {
    const { page } = await putPage(kernel, joe, 'Again', { text: 'one' });
    await deletePage(kernel, joe, 'Again');
    const again = await putPage(kernel, joe, 'Again', { text: 'two' });
    expect(again.page.id).not.toBe(page.id);
    expect([again.created, again.page.version]).toEqual([true, 1]);
  });
});

describe('renamePage', () => {
  it('keeps id, version and history', async () => {
    const { page } = await putPage(kernel, joe, 'Old name', { text: 'one' });
    const renamed = await renamePage(kernel, joe, 'Old name', { to: 'New name' });
    expect(renamed.page).toMatchObject({ id: page.id, version: 1, name: 'New name', text: 'one', tid: renamed.tid });
    expect(await changesOfPage('New name')).toEqual(['MODIFY', 'CREATE']);
    expect(await changesOfPage('Old name')).toEqual(['MODIFY', 'CREATE']);
  });

  it('with a redirect does both in one transaction', async () => {
    await putPage(kernel, joe, 'From', { text: 'one' });
    const { tid } = await renamePage(kernel, joe, 'From', { to: 'To', redirect: true });
    const { rows } = await database.query(
      `SELECT change FROM wiki_journal WHERE txn = (SELECT txn FROM wiki_journal WHERE tid = $1 LIMIT 1) ORDER BY tid`,
      [tid],
    );
    expect(rows).toEqual([{ change: 'MODIFY' }, { change: 'CREATE' }]);
    expect((await getPage(database, 'From')).text).toBe('See [wiki:"To"].');
  });

  it('is refused as the proposal says, and leaves everything as it was', async () => {
    await putPage(kernel, joe, 'Stays', { text: 'one' });
    await putPage(kernel, joe, 'Occupied', { text: 'one' });
    const rename = (name: string, to: string, redirect = false) =>
      codeOf(renamePage(kernel, joe, name, { to, redirect }));
    expect(await rename('Missing', 'Anything', true)).toBe('not_found');
    expect(await rename('Stays', '')).toBe('invalid');
    expect(await rename('Stays', 'Stays')).toBe('invalid');
    expect(await rename('Stays', '../x')).toBe('invalid');
    expect(await rename('Stays', 'Occupied', true)).toBe('conflict');
    expect(await changesOfPage('Stays')).toEqual(['CREATE']);
    expect(await findPage(database, 'Anything')).toBeUndefined();
  });

  it('of two renames to one name one wins and one is a conflict', async () => {
    await putPage(kernel, joe, 'R1', { text: '1' });
    await putPage(kernel, joe, 'R2', { text: '2' });
    const outcomes = await Promise.all(
      ['R1', 'R2'].map((name) =>
        renamePage(kernel, joe, name, { to: 'R' }).then(
          () => 'done',
          (e: KernelError) => e.code,
        ),
      ),
    );
    expect(outcomes.sort()).toEqual(['conflict', 'done']);
  });
});

describe('reading', () => {
  it('finds old versions as they were made, whatever came after', async () => {
    const one = await putPage(kernel, joe, 'Versions', { text: 'one' });
    const two = await putPage(kernel, { author: 'ann' }, 'Versions', { text: 'two' });
    await putPage(kernel, joe, 'Versions', { text: 'two', readonly: true });
    await renamePage(kernel, joe, 'Versions', { to: 'Versions 2' });
    expect(await getPageVersion(database, 'Versions 2', 1)).toEqual(one.page);
    expect(await getPageVersion(database, 'Versions 2', 2)).toEqual(two.page);
    expect(await codeOf(getPageVersion(database, 'Versions 2', 3))).toBe('not_found');
  });

  it('as of a tid or a time gives the page that bore the name then', async () => {
    const first = await putPage(kernel, joe, 'Then', { text: 'first' });
    await deletePage(kernel, joe, 'Then');
    const second = await putPage(kernel, joe, 'Then', { text: 'second' });
    expect(await getPageAsOf(database, 'Then', String(first.tid))).toEqual(first.page);
    expect(await getPageAsOf(database, 'Then', first.page.time)).toEqual(first.page);
    expect(await getPageAsOf(database, 'Then', String(second.tid))).toEqual(second.page);
    expect(await codeOf(getPageAsOf(database, 'Then', String((first.tid as number) + 1)))).toBe('not_found');
    expect(await codeOf(getPageAsOf(database, 'Then', '2999-01-01T00:00:00Z'))).toBe('not_found');
    expect(await codeOf(getPageAsOf(database, 'Then', '1999-01-01T00:00:00Z'))).toBe('not_found');
  });
});

describe('the table itself', () => {
  const sql = (text: string, values: unknown[] = []) =>
    database.query(text, values).then(
      () => 'done',
      (error: { constraint?: string; code?: string }) => error.constraint ?? error.code,
    );

  it.each(['', '/a', 'a/', 'a//b', '.', '..', 'a/../b', 'x'.repeat(501)])(
    'refuses the name %.20j in SQL',
    async (name) => {
      expect(await sql('INSERT INTO wiki (name, text) VALUES ($1, $2)', [name, 'a'])).toBe('wiki_name');
    },
  );

  it('holds text or bytes, never both and never neither', async () => {
    expect(await sql(`INSERT INTO wiki (name) VALUES ('Nothing')`)).toBe('wiki_contents');
    expect(await sql(`INSERT INTO wiki (name, text, bytes) VALUES ('Both', 'a', 'a')`)).toBe('wiki_contents');
  });

  it('counts versions, whoever writes, and nobody can set them back', async () => {
    const version = async () => (await getPage(database, 'Counted')).version;
    await sql(`INSERT INTO wiki (name, text) VALUES ('Counted', 'a')`);
    await sql(`UPDATE wiki SET text = 'b', version = 77 WHERE name = 'Counted'`);
    await sql(`UPDATE wiki SET readonly = true, version = 1 WHERE name = 'Counted'`);
    await sql(`UPDATE wiki SET text = text WHERE name = 'Counted'`);
    expect(await version()).toBe(2);
    await sql(`UPDATE wiki SET text = NULL, bytes = '\\x00' WHERE name = 'Counted'`);
    expect(await version()).toBe(3);
    expect(await changesOfPage('Counted')).toEqual(['MODIFY', 'MODIFY', 'MODIFY', 'CREATE']);
    expect((await database.query(`SELECT * FROM tidemark.drift('wiki')`)).rows).toEqual([]);
  });

  it('a page changed in SQL shows its database role as the author', async () => {
    await sql(`INSERT INTO wiki (name, text) VALUES ('By SQL', 'a')`);
    const { rows } = await database.query<{ user: string }>('SELECT session_user AS user');
    expect((await getPage(database, 'By SQL')).author).toBe(rows[0]?.user);
  });
});
