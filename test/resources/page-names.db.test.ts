import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import type { Cache, Log } from '#libs/dispatch';
import { createKernel, type Kernel } from '#libs/kernel';
import { deletePage, type PageNames, pageNames, putPage, renamePage, resources } from '#libs/resources';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { PATIENTLY } from '../support/wait-until.ts';

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
const joe = { author: 'joe' };
let test: TestDatabase;
let database: Database;
let kernel: Kernel;
let cache: Cache<PageNames>;

beforeAll(async () => {
  test = await testDatabase();
  database = Database.open({ url: test.url });
  await database.query(`INSERT INTO wiki (name, text) VALUES ('Before', 'text')`);
  kernel = createKernel({ database, resources, log: silent });
  cache = kernel.dispatcher.cache(pageNames);
  await kernel.start();
});
afterAll(async () => {
  await kernel.stop();
  await database.close();
  await test.drop();
});

async function listed(): Promise<string[]> {
  const { rows } = await database.query<{ tid: number }>('SELECT max(tid) AS tid FROM wiki_journal');
  await kernel.dispatcher.waitFor(rows[0]?.tid ?? 0, PATIENTLY);
  return cache.state.list({ limit: 500 });
}

it('pages that were there before the start are known', async () => {
  expect(await listed()).toEqual(['Before']);
});

it('the names follow create, rename and delete', async () => {
  await putPage(kernel, joe, 'A', { text: '1' });
  await putPage(kernel, joe, 'B', { text: '1' });
  await renamePage(kernel, joe, 'A', { to: 'C', redirect: true });
  await deletePage(kernel, joe, 'B');
  expect(await listed()).toEqual(['A', 'Before', 'C']);
});

it('the names follow raw SQL: many rows at once, a swap, a key that changes', async () => {
  await database.query(`INSERT INTO wiki (name, text) SELECT 'N' || n, 'text' FROM generate_series(1, 300) n`);
  await database.query(`UPDATE wiki SET name = 'M' || substr(name, 2) WHERE name LIKE 'N%'`);
  await database.query(`DELETE FROM wiki WHERE name LIKE 'M%' AND name <> 'M7'`);
  expect(await listed()).toEqual(['A', 'Before', 'C', 'M7']);
  const swap = await database.connect();
  await swap.query('BEGIN');
  await swap.query(`UPDATE wiki SET name = 'aside' WHERE name = 'A'`);
  await swap.query(`UPDATE wiki SET name = 'A' WHERE name = 'C'`);
  await swap.query(`UPDATE wiki SET name = 'C' WHERE name = 'aside'`);
  await swap.query('COMMIT');
  swap.release();
  await database.query(`UPDATE wiki SET id = DEFAULT, name = 'M8' WHERE name = 'M7'`);
  expect(await listed()).toEqual(['A', 'Before', 'C', 'M8']);
});

it('after hundreds of changes by several writers the names are those of the table', async () => {
  const writers = Array.from({ length: 6 }, async (_, writer) => {
    for (let n = 0; n < 30; n++) {
      const name = `S${(writer * 7 + n) % 10}`;
      const work = [
        () => putPage(kernel, joe, name, { text: `${writer}.${n}` }),
        () => deletePage(kernel, joe, name),
        () => renamePage(kernel, joe, name, { to: `S${n % 10}` }),
      ][n % 3] as () => Promise<unknown>;
      await work().catch((error: { code?: string }) =>
        expect(['not_found', 'conflict', 'invalid']).toContain(error.code),
      );
    }
  });
  await Promise.all(writers);
  const names = await listed();
  const { rows } = await database.query<{ name: string }>('SELECT name FROM wiki ORDER BY name COLLATE "C"');
  expect(names).toEqual(rows.map((row) => row.name));
});
