import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { migrate, migrateDatabase, migrationStatus, migrationsFolder } from '#libs/migrations';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

let test: TestDatabase;
let owner: Database;
const folders: string[] = [];

beforeEach(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl, poolSize: 2 });
});

afterEach(async () => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  await owner.close();
  await test.drop();
});

/** A plugin whose migrations are files of these texts. */
function plugin(name: string, files: Record<string, string>): { plugin: string; folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-plugin-'));
  folders.push(folder);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  return { plugin: name, folder };
}

const making = (table: string) =>
  `CREATE TABLE ${table} (id int PRIMARY KEY); SELECT tidemark.journal_table('${table}')`;

describe("migrations of plugins beside the program's", () => {
  it('may have the names of others, run in order, and are read by a role that owns nothing', async () => {
    const two = [
      plugin('a', { '0001_table.sql': making('a_thing'), '0002_journal.sql': 'ALTER TABLE a_thing ADD n int' }),
      plugin('a-b', { '0001_table.sql': making('b_thing'), '0001_journal.sql': 'SELECT 1' }),
    ];
    const names = ['a/0001_table', 'a/0002_journal', 'a-b/0001_journal', 'a-b/0001_table'];
    expect((await migrationStatus(test.url, [migrationsFolder], two)).pending).toEqual(names);
    expect(await migrate(test.ownerUrl, [migrationsFolder], two)).toEqual({ applied: names });
    expect(await migrate(test.ownerUrl, [migrationsFolder], two)).toEqual({ applied: [] });
    const { applied, pending, unknown } = await migrationStatus(test.url, [migrationsFolder], two);
    expect({ applied: applied.slice(-4), pending, unknown }).toEqual({ applied: names, pending: [], unknown: [] });
  });

  it('may be JavaScript', async () => {
    const one = plugin('a', {
      '0001_thing.js': `exports.up = (db) => db.schema.createTable('a_thing').addColumn('id', 'integer').execute();`,
    });
    expect(await migrate(test.ownerUrl, [migrationsFolder], [one])).toEqual({ applied: ['a/0001_thing'] });
    expect((await owner.query('SELECT * FROM a_thing')).rows).toEqual([]);
  });

  it('come to one result when ten processes start at once', async () => {
    const one = plugin('a', { '0001_thing.sql': making('a_thing'), '0002_more.sql': making('a_more') });
    const all = await Promise.all(Array.from({ length: 10 }, () => migrate(test.ownerUrl, [migrationsFolder], [one])));
    expect(all.flatMap(({ applied }) => applied)).toEqual(['a/0001_thing', 'a/0002_more']);
  });

  it('are undone together when one fails; what came before that plugin stays', async () => {
    const fine = plugin('fine', { '0001_thing.sql': making('fine_thing') });
    const broken = plugin('broken', { '0001_thing.sql': making('broken_thing'), '0002_broken.sql': 'SELECT nonsense' });
    await expect(migrate(test.ownerUrl, [migrationsFolder], [fine, broken])).rejects.toMatchObject({
      code: 'configuration',
      message: 'plugin broken: migration 0002_broken failed: column "nonsense" does not exist',
    });
    expect((await migrationStatus(test.url, [migrationsFolder], [fine, broken])).pending).toEqual([
      'broken/0001_thing',
      'broken/0002_broken',
    ]);
    const { rows } = await owner.query(
      `SELECT to_regclass('fine_thing') AS fine, to_regclass('broken_thing') AS broken,
         to_regclass('tidemark.migration_plugin_broken') AS record`,
    );
    expect(rows).toEqual([{ fine: 'fine_thing', broken: null, record: null }]);
  });

  it('name their plugin when the role may not apply them', async () => {
    const one = plugin('a', { '0001_thing.sql': making('a_thing') });
    await expect(migrate(test.url, [migrationsFolder], [one])).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringMatching(/\(plugin a: .*permission denied.*\): run "tidemark migrate" as the owner/),
    });
  });

  it('are nothing to a program without the plugin, nor to another program on the database', async () => {
    const one = plugin('a', { '0001_thing.sql': making('a_thing') });
    await migrate(test.ownerUrl, [migrationsFolder], [one]);
    expect(await migrationStatus(test.url, [migrationsFolder])).toMatchObject({ pending: [], unknown: [] });
    expect(await migrateDatabase({ url: test.ownerUrl })).toEqual({ applied: [] });
    await expect(migrateDatabase({ url: test.ownerUrl, program: 'plugin_a' })).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringContaining('"plugin_a" is no name of a program'),
    });
  });
});
