import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { migrate, migrationStatus, migrationsFolder } from '#libs/migrations';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

let test: TestDatabase;
let owner: Database;
let folder: string;

beforeEach(async () => {
  test = await testDatabase({ migrated: false });
  owner = Database.open({ url: test.ownerUrl, poolSize: 2 });
  folder = mkdtempSync(join(tmpdir(), 'tidemark-migrations-'));
});

afterEach(async () => {
  rmSync(folder, { recursive: true });
  await owner.close();
  await test.drop();
});

const write = (file: string, text: string) => writeFileSync(join(folder, file), text);
const names = async () =>
  (await readdir(migrationsFolder))
    .filter((file) => /^\d{4}_.*\.sql$/.test(file))
    .map((file) => file.slice(0, -4))
    .sort();

/** What the schema of a database is made of, to compare two. */
async function shape(database: Database): Promise<unknown[]> {
  const { rows } = await database.query(
    `SELECT n.nspname, c.relname, c.relkind, c.relacl::text, pg_get_userbyid(c.relowner) FROM pg_class c
       JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('public', 'tidemark')
     UNION ALL
     SELECT n.nspname, p.proname, 'f', p.proacl::text, md5(p.prosrc) FROM pg_proc p
       JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('public', 'tidemark')
     ORDER BY 1, 2, 3`,
  );
  return rows;
}

describe('migrate', () => {
  it('applies all migrations in order, and twice does no harm', async () => {
    expect(await migrate(test.ownerUrl, [migrationsFolder])).toEqual({ applied: await names() });
    const before = await shape(owner);
    expect(await migrate(test.ownerUrl, [migrationsFolder])).toEqual({ applied: [] });
    expect(await shape(owner)).toEqual(before);
    expect(await migrationStatus(test.ownerUrl, [migrationsFolder])).toEqual({
      ...{ applied: await names(), pending: [], unknown: [] },
    });
  });

  it('leaves one result when ten processes start at once', async () => {
    const all = await Promise.all(Array.from({ length: 10 }, () => migrate(test.ownerUrl, [migrationsFolder])));
    expect(all.flatMap(({ applied }) => applied)).toEqual(await names());
    const { rows } = await owner.query('SELECT name FROM tidemark.migration ORDER BY name');
    expect(rows.map(({ name }) => name)).toEqual(await names());
  });

  it('brings up several databases of one cluster at the same moment', async () => {
    const others = await Promise.all(Array.from({ length: 3 }, () => testDatabase({ migrated: false })));
    const all = await Promise.all([test, ...others].map(({ ownerUrl }) => migrate(ownerUrl, [migrationsFolder])));
    expect(all).toEqual(Array(4).fill({ applied: await names() }));
    await Promise.all(others.map((other) => other.drop()));
  });

  it('runs SQL and JavaScript migrations of several folders by their names', async () => {
    write('9001_one.sql', 'CREATE TABLE one (n int); INSERT INTO one VALUES (1), (2);');
    write('9002_two.js', `export const up = (db) => db.updateTable('one').set({ n: 7 }).where('n', '=', 2).execute();`);
    write('9002_two.js.map', '{}');
    write('notes.txt', 'not a migration');
    const { applied } = await migrate(test.ownerUrl, [folder, migrationsFolder]);
    expect(applied).toEqual([...(await names()), '9001_one', '9002_two']);
    expect((await owner.query('SELECT n FROM one ORDER BY n')).rows).toEqual([{ n: 1 }, { n: 7 }]);
  });

  it('undoes everything when one fails, and names it', async () => {
    write('9001_one.sql', 'CREATE TABLE one (n int)');
    write('9002_two.sql', 'SELECT 1 / 0');
    await expect(migrate(test.ownerUrl, [folder])).rejects.toMatchObject({
      code: 'configuration',
      message: 'migration 9002_two failed: division by zero',
    });
    expect((await owner.query(`SELECT to_regclass('one') AS one`)).rows).toEqual([{ one: null }]);
    expect((await migrationStatus(test.ownerUrl, [folder])).pending).toEqual(['9001_one', '9002_two']);
  });

  it('refuses a database that is newer than the program, and changes nothing', async () => {
    await migrate(test.ownerUrl, [migrationsFolder]);
    await owner.query(`INSERT INTO tidemark.migration VALUES ('9999_future', now()::text)`);
    const before = await shape(owner);
    await expect(migrate(test.ownerUrl, [migrationsFolder])).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringMatching(/newer than this program.*9999_future/),
    });
    expect(await shape(owner)).toEqual(before);
  });

  it('refuses a role without the rights, and names the command', async () => {
    await expect(migrate(test.url, [migrationsFolder])).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringMatching(/permission denied.*"tidemark migrate"/),
    });
  });

  it('says which folder cannot be read', async () => {
    await expect(migrate(test.ownerUrl, [join(folder, 'missing')])).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringContaining(join(folder, 'missing')),
    });
  });

  it('shows what is pending to a role that may only read', async () => {
    await migrate(test.ownerUrl, [migrationsFolder]);
    write('9001_one.sql', 'SELECT 1');
    expect((await migrationStatus(test.url, [migrationsFolder, folder])).pending).toEqual(['9001_one']);
  });
});
