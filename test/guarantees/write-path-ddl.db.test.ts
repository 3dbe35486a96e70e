import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectTrueJournal, head, type Lab, lab, type Session, written } from './journaled.ts';

let at: Lab;
let owner: Session;
let before: number;
let table: string;
let made = 0;

beforeAll(async () => {
  at = await lab();
  owner = at.owner;
});
beforeEach(async () => {
  table = `item_${++made}`;
  await owner.sql(`CREATE TABLE ${table} (id integer PRIMARY KEY, a text, b integer DEFAULT 7);
    SELECT tidemark.journal_table('${table}', row_version => ${made % 2 === 0});
    INSERT INTO ${table} (id, a) VALUES (1, 'one'), (2, NULL), (3, 'three')`);
  before = await head(owner);
});
afterAll(() => at.close());

const problems = async () =>
  (await owner.sql(`SELECT problem FROM tidemark.table_problems() WHERE resource = '${table}'`)).map(
    ({ problem }) => problem,
  );
const NOT_CALLED = ['it was changed and tidemark.journal_table() was not called again'];

/** DDL, then journal_table() again: what it found, and whether table_problems() had named the table before. */
async function ddl(statement: string, named = NOT_CALLED): Promise<unknown[]> {
  await owner.sql(statement.replaceAll('{t}', table));
  expect(await problems()).toEqual(named);
  await owner.sql(`SELECT tidemark.journal_table('${table}')`);
  expect(await problems()).toEqual([]);
  await expectTrueJournal(owner, table);
  const entries = await written(owner, table, before);
  expect(new Set(entries.map(({ tid }) => tid)).size).toBeLessThanOrEqual(1);
  expect(entries.every(({ comment }) => comment === 'schema')).toBe(true);
  await owner.sql(`UPDATE ${table} SET b = 8 WHERE id = 1`).catch(() => undefined);
  await owner.sql(`DELETE FROM ${table} WHERE id = 3`);
  await expectTrueJournal(owner, table);
  return entries.map(({ id, change, fields }) => [change, id, fields]);
}

describe('values that DDL changes are journaled when journal_table() is called again', () => {
  it('ADD COLUMN journals nothing', async () => {
    expect(await ddl('ALTER TABLE {t} ADD COLUMN c text')).toEqual([]);
  });

  it('ADD COLUMN … DEFAULT is a MODIFY of every row', async () => {
    expect(await ddl(`ALTER TABLE {t} ADD COLUMN c text DEFAULT 'x'`)).toEqual([
      ['MODIFY', '1', { c: 'x' }],
      ['MODIFY', '2', { c: 'x' }],
      ['MODIFY', '3', { c: 'x' }],
    ]);
  });

  it('what is written to a new column before the call is not lost', async () => {
    const [first, ...more] = await ddl(`ALTER TABLE {t} ADD COLUMN c text; UPDATE {t} SET c = 'early' WHERE id = 2`);
    expect([first, more]).toEqual([['MODIFY', '2', { c: 'early' }], []]);
  });

  it('DROP COLUMN is a change to NULL where there was a value', async () => {
    expect(await ddl('ALTER TABLE {t} DROP COLUMN a')).toEqual([
      ['MODIFY', '1', { a: null }],
      ['MODIFY', '3', { a: null }],
    ]);
  });

  it('RENAME COLUMN moves the values; until the call, writes fail', async () => {
    await owner.sql(`ALTER TABLE ${table} RENAME COLUMN a TO "new ""name"`);
    expect(await owner.refusal(`UPDATE ${table} SET b = 1`)).toMatch(/^42703 .*"?a"?/);
    expect(await ddl('SELECT 1')).toEqual([
      ['MODIFY', '1', { a: null, 'new "name': 'one' }],
      ['MODIFY', '3', { a: null, 'new "name': 'three' }],
    ]);
  });

  it('ALTER COLUMN TYPE … USING into another type', async () => {
    expect(await ddl('ALTER TABLE {t} ALTER b DROP DEFAULT, ALTER b TYPE text USING b || $$!$$')).toEqual([
      ['MODIFY', '1', { b: '7!' }],
      ['MODIFY', '2', { b: '7!' }],
      ['MODIFY', '3', { b: '7!' }],
    ]);
  });

  it('ALTER COLUMN TYPE … USING into the same type is found by the rewrite of the table', async () => {
    expect(await ddl('ALTER TABLE {t} ALTER a TYPE text USING upper(a)', [])).toEqual([
      ['MODIFY', '1', { a: 'ONE' }],
      ['MODIFY', '3', { a: 'THREE' }],
    ]);
  });

  it('a column dropped and made anew under its name and type', async () => {
    expect(await ddl(`ALTER TABLE {t} DROP COLUMN a; ALTER TABLE {t} ADD COLUMN a text DEFAULT 'again'`)).toEqual([
      ['MODIFY', '1', { a: 'again' }],
      ['MODIFY', '2', { a: 'again' }],
      ['MODIFY', '3', { a: 'again' }],
    ]);
  });

  it('integer to bigint changes no value and journals nothing', async () => {
    await owner.sql(`ALTER TABLE ${table} ALTER b TYPE bigint`);
    await owner.sql(`SELECT tidemark.journal_table('${table}')`);
    expect(await head(owner)).toBe(before);
    await expectTrueJournal(owner, table);
  });

  it('another primary key: the rows go under their old ids and come under the new ones', async () => {
    await owner.sql(`UPDATE ${table} SET a = 'two' WHERE id = 2`);
    before = await head(owner);
    const entries = await ddl('ALTER TABLE {t} DROP CONSTRAINT {t}_pkey; ALTER TABLE {t} ADD PRIMARY KEY (a)');
    expect(entries.map((entry) => (entry as string[]).slice(0, 2).join(' '))).toEqual([
      ...['DELETE 1', 'DELETE 2', 'DELETE 3', 'CREATE one', 'CREATE three', 'CREATE two'],
    ]);
  });

  it('RENAME TABLE and SET SCHEMA keep the resource and its journal', async () => {
    await owner.sql(`CREATE SCHEMA IF NOT EXISTS elsewhere; ALTER TABLE ${table} RENAME TO renamed`);
    expect(await problems()).toEqual(NOT_CALLED);
    expect(await owner.refusal(`UPDATE renamed SET b = 1`)).toMatch(/^42P01 /);
    await owner.sql(`ALTER TABLE renamed SET SCHEMA elsewhere; SELECT tidemark.journal_table('elsewhere.renamed')`);
    await owner.sql(`UPDATE elsewhere.renamed SET b = 1 WHERE id = 1`);
    expect((await written(owner, table, before)).map(({ id }) => id)).toEqual(['1']);
    await expectTrueJournal(owner, table);
    await owner.sql(
      `ALTER TABLE elsewhere.renamed RENAME TO moved_${made}; SELECT tidemark.journal_table('elsewhere.moved_${made}')`,
    );
    expect(await problems()).toEqual([]);
  });

  it('a table that is rebuilt, dropped and renamed into place goes on with its journal', async () => {
    await owner.sql(`CREATE TABLE rebuilt (LIKE ${table} INCLUDING ALL);
      INSERT INTO rebuilt SELECT * FROM ${table} WHERE id < 3; UPDATE rebuilt SET a = 'changed' WHERE id = 1;
      DROP TABLE ${table}; ALTER TABLE rebuilt RENAME TO ${table}`);
    expect(await problems()).toEqual(['the table is gone']);
    await owner.sql(`SELECT tidemark.journal_table('${table}')`);
    const entries = (await written(owner, table, before)).map(({ change, id, fields }) => [change, id, fields]);
    expect(entries).toEqual([
      ['MODIFY', '1', { a: 'changed' }],
      ['DELETE', '3', {}],
    ]);
    expect(await problems()).toEqual([]);
    await expectTrueJournal(owner, table);
  });

  it('VACUUM FULL and CLUSTER change nothing', async () => {
    await owner.sql(`VACUUM FULL ${table}`);
    await owner.sql(`SELECT tidemark.journal_table('${table}')`);
    expect(await head(owner)).toBe(before);
  });

  it('a migration that is rolled back leaves the old journal at work', async () => {
    await owner.sql(
      `BEGIN; ALTER TABLE ${table} ADD COLUMN c integer DEFAULT 1; SELECT tidemark.journal_table('${table}'); ROLLBACK`,
    );
    await owner.sql(`UPDATE ${table} SET b = 9`);
    expect(await problems()).toEqual([]);
    await expectTrueJournal(owner, table);
  });

  it('a session that has the old plan cached journals by the new one', async () => {
    const other = await at.session();
    for (let i = 0; i < 8; i++) await other.sql(`UPDATE ${table} SET b = ${i} WHERE id = 1`);
    await owner.sql(`ALTER TABLE ${table} ADD COLUMN c integer; SELECT tidemark.journal_table('${table}')`);
    await other.sql(`UPDATE ${table} SET c = 5`);
    await expectTrueJournal(owner, table);
  });
});

describe('an index (id, field, tid) on the history', () => {
  it('is made when asked for, once', async () => {
    await owner.sql(`SELECT tidemark.journal_table('${table}', field_index => true)`);
    await owner.sql(`SELECT tidemark.journal_table('${table}', field_index => true)`);
    const made = `SELECT indexdef FROM pg_indexes WHERE tablename = '${table}_history' AND indexdef LIKE '%(id, field, tid)'`;
    expect(await owner.sql(made)).toHaveLength(1);
  });
});
