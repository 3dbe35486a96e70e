import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { Coalescer, defineResource, ModelTransaction } from '#libs/journal';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

interface Page {
  id: number;
  name: string;
  hits: number;
  at: string;
  row_version: number;
}

const page = defineResource<Page>({ name: 'page' });
let test: TestDatabase;
let database: Database;
let coalescer: Coalescer;

beforeAll(async () => {
  test = await testDatabase();
  const owner = Database.open({ url: test.ownerUrl, poolSize: 1 });
  await owner.query(`
    CREATE TABLE page (id int PRIMARY KEY, name text NOT NULL, hits int NOT NULL DEFAULT 0, at timestamptz NOT NULL DEFAULT '2001-02-03T04:05:06.789012Z');
    SELECT tidemark.journal_table('page', row_version => true);
    INSERT INTO page (id, name) SELECT n, 'page ' || n FROM generate_series(1, 20) n;
    GRANT SELECT, INSERT, UPDATE, DELETE ON page TO tidemark_app`);
  await owner.close();
  database = Database.open({ url: test.url });
  coalescer = new Coalescer(database);
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

const begin = () =>
  new ModelTransaction({ database, origin: '7d0c5d57-97a1-4cc5-8a37-0d3a8f0a3c11', coalescer }).prepare({
    author: 'joe',
  });

it('a save tells the columns that were asked for, alike alone, in company and beside another change', async () => {
  const returning = ['name', 'at'] as const;
  const expected = { id: 1, name: 'page 1', at: '2001-02-03T04:05:06.789012+00:00' };
  const alone = begin();
  const saved = alone.save(page, 1, { hits: 1 }, { returning });
  await alone.commit();
  expect(saved.row).toEqual({ ...expected, row_version: 2 });

  const together = await Promise.all(
    [2, 3, 4, 5].map(async (id) => {
      const tx = begin();
      const other = tx.save(page, id, { hits: 1 }, { returning });
      await tx.commit();
      return other.row;
    }),
  );
  expect(together).toEqual([2, 3, 4, 5].map((id) => ({ ...expected, id, name: `page ${id}`, row_version: 2 })));

  const several = begin();
  const first = several.save(page, 1, { hits: 2 }, { returning });
  several.save(page, 6, { hits: 2 });
  await several.commit();
  expect(first.row).toEqual({ ...expected, row_version: 3 });
});

it('a save without a wish tells nothing', async () => {
  const tx = begin();
  const saved = tx.save(page, 7, { hits: 1 });
  await tx.commit();
  expect(saved.row).toBeUndefined();
});

it('two saves of one row become one, and both are told of it', async () => {
  const tx = begin();
  const one = tx.save(page, 8, { hits: 1 }, { returning: ['hits'] });
  const two = tx.save(page, 8, { hits: 2 }, { returning: ['name'] });
  expect((await tx.commit()).changes).toBe(1);
  expect([one.row, two.row]).toEqual([
    { id: 8, hits: 2, name: 'page 8', row_version: 2 },
    { id: 8, hits: 2, name: 'page 8', row_version: 2 },
  ]);
});

it.each([
  ['has other values', 9, { name: 'another' }],
  ['has another version', 9, { row_version: 7 }],
  ['is not there', 999, { name: 'page 999' }],
])('a save with `when` leaves a row alone that %s, and fails nothing', async (_, id, when) => {
  for (const company of [false, true]) {
    const tx = begin();
    const saved = tx.save(page, id, { hits: 99 }, { when });
    if (company) tx.save(page, 10, { hits: Math.trunc(Math.random() * 1e9) });
    const { tid } = await tx.commit();
    expect([tid !== null, saved.row]).toEqual([company, undefined]);
  }
});

it('a save with `when` changes the row that has the values', async () => {
  const tx = begin();
  const saved = tx.save(page, 11, { hits: 5 }, { when: { name: 'page 11' } });
  expect((await tx.commit()).changes).toBe(1);
  expect(saved.row).toEqual({ id: 11, row_version: 2 });
});

it('a save with `when` is not merged with another of the row', async () => {
  const tx = begin();
  const unmet = tx.save(page, 12, { hits: 5 }, { when: { name: 'another' } });
  tx.save(page, 12, { name: 'renamed' });
  const met = tx.save(page, 12, { hits: 6 }, { when: { name: 'renamed' } });
  await tx.commit();
  expect([unmet.row, met.row]).toEqual([undefined, { id: 12, row_version: 3 }]);
  const { rows } = await database.query('SELECT name, hits FROM page WHERE id = 12');
  expect(rows).toEqual([{ name: 'renamed', hits: 6 }]);
});

it('of many that save a row when it has the value they have read, one does', async () => {
  const outcomes = await Promise.all(
    Array.from({ length: 40 }, async (_, n) => {
      const tx = begin();
      const saved = tx.save(page, 13, { hits: n + 1 }, { when: { hits: 0 } });
      await tx.commit();
      return saved.row;
    }),
  );
  expect(outcomes.filter((row) => row !== undefined)).toHaveLength(1);
});
