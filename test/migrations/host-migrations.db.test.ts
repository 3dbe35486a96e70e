import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { migrate, migrateDatabase, migrationStatus, migrationsFolder } from '#libs/migrations';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

let test: TestDatabase;
let owner: Database;
let folder: string;

beforeEach(async () => {
  test = await testDatabase({ migrated: false });
  owner = Database.open({ url: test.ownerUrl, poolSize: 2 });
  folder = mkdtempSync(join(tmpdir(), 'tidemark-host-'));
  writeFileSync(
    join(folder, '0001_shop_order.sql'),
    `CREATE TABLE shop_order (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, total numeric NOT NULL);
     SELECT tidemark.journal_table('shop_order', row_version => true);
     GRANT SELECT, INSERT, UPDATE, DELETE ON shop_order TO tidemark_app`,
  );
});

afterEach(async () => {
  rmSync(folder, { recursive: true });
  await owner.close();
  await test.drop();
});

const domain = JSON.parse(readFileSync(join(migrationsFolder, 'domain.json'), 'utf8')) as string[];
const files = async () => (await readdir(migrationsFolder)).filter((file) => /^\d{4}_.*\.sql$/.test(file)).sort();
const names = async () => (await files()).map((file) => file.slice(0, -4));
const core = async () => (await names()).filter((name) => !domain.includes(name));
const host = () => ({ url: test.ownerUrl, folder });

async function tables(schema: string): Promise<string[]> {
  const { rows } = await owner.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p') ORDER BY 1`,
    [schema],
  );
  return rows.map(({ name }) => name);
}

/** What a database is made of, whenever its parts were made: functions, tables, columns, constraints, triggers and rights. */
async function shape(): Promise<unknown[]> {
  const { rows } = await owner.query(
    `WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'tidemark')),
     tables AS (SELECT * FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours) AND relkind IN ('r', 'p', 'i', 'I', 'S', 'v'))
     SELECT 'table' AS kind, oid::regclass::text AS name, array(SELECT unnest(relacl)::text ORDER BY 1)::text AS about FROM tables
     UNION ALL SELECT 'column', attrelid::regclass::text || '.' || attname,
         concat(format_type(atttypid, atttypmod), attnotnull, array(SELECT unnest(attacl)::text ORDER BY 1)::text)
       FROM pg_attribute WHERE attrelid IN (SELECT oid FROM tables) AND attnum > 0
     UNION ALL SELECT 'constraint', conrelid::regclass::text || '.' || conname, pg_get_constraintdef(oid)
       FROM pg_constraint WHERE connamespace IN (SELECT oid FROM ours)
     UNION ALL SELECT 'trigger', tgrelid::regclass::text || '.' || tgname, tgenabled::text || pg_get_triggerdef(oid)
       FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM tables) AND NOT tgisinternal
     UNION ALL SELECT 'function', oid::regprocedure::text, concat(prosrc, proconfig::text, array(SELECT unnest(proacl)::text ORDER BY 1)::text)
       FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours)
     ORDER BY 1, 2`,
  );
  return rows;
}

describe('a host database', () => {
  it("gets what Tidemark needs and its own tables, and none of the server's domain", async () => {
    const { applied } = await migrateDatabase(host());
    expect(applied).toEqual([...(await core()), '0001_shop_order']);
    expect(await tables('public')).toEqual(['shop_order', 'shop_order_history', 'shop_order_journal']);
    expect(await tables('tidemark')).not.toContain('imports');
    expect(await migrateDatabase(host())).toEqual({ applied: [] });
  });

  it('needs no folder when the host has a migration tool of its own', async () => {
    expect(await migrateDatabase({ url: test.ownerUrl })).toEqual({ applied: await core() });
    expect(await tables('public')).toEqual([]);
  });

  it('comes to one result when ten processes start at once', async () => {
    const all = await Promise.all(Array.from({ length: 10 }, () => migrateDatabase(host())));
    expect(all.flatMap(({ applied }) => applied)).toEqual([...(await core()), '0001_shop_order']);
  });

  it('can run the server later: it gets the domain then, as if it had been there from the beginning', async () => {
    await migrateDatabase({ url: test.ownerUrl });
    expect((await migrationStatus(test.ownerUrl, [migrationsFolder])).pending).toEqual(
      (await names()).filter((name) => domain.includes(name)),
    );
    await migrate(test.ownerUrl, [migrationsFolder]);
    const late = await shape();

    const other = await testDatabase({ migrated: false });
    await migrate(other.ownerUrl, [migrationsFolder]);
    const before = owner;
    owner = Database.open({ url: other.ownerUrl, poolSize: 2 });
    const atOnce = await shape();
    await owner.close();
    owner = before;
    await other.drop();
    expect(late).toEqual(atOnce);
  });

  it("can be a server's database from before", async () => {
    await migrate(test.ownerUrl, [migrationsFolder]);
    expect(await migrateDatabase(host())).toEqual({ applied: ['0001_shop_order'] });
    expect((await migrationStatus(test.ownerUrl, [migrationsFolder])).unknown).toEqual([]);
  });

  it('takes a migration of Tidemark that comes after its own', async () => {
    await migrateDatabase(host());
    await owner.query(
      `DELETE FROM tidemark.migration WHERE name = '0006_idempotency'; DROP TABLE tidemark.idempotency_keys`,
    );
    expect(await migrateDatabase(host())).toEqual({ applied: ['0006_idempotency'] });
  });

  it('serves several programs, each with migrations of its own', async () => {
    await migrateDatabase({ ...host(), program: 'shop' });
    const billing = mkdtempSync(join(tmpdir(), 'tidemark-host-'));
    writeFileSync(join(billing, '0001_invoice.sql'), 'CREATE TABLE invoice (id int PRIMARY KEY)');
    expect(await migrateDatabase({ url: test.ownerUrl, folder: billing, program: 'billing' })).toEqual({
      applied: ['0001_invoice'],
    });
    expect(await migrateDatabase({ ...host(), program: 'shop' })).toEqual({ applied: [] });
    await expect(migrateDatabase({ url: test.ownerUrl, folder: billing, program: 'shop' })).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringContaining('0001_shop_order'),
    });
    rmSync(billing, { recursive: true });
  });

  it("keeps what Tidemark needs when a migration of the host fails, and undoes the host's", async () => {
    writeFileSync(join(folder, '0002_broken.sql'), 'SELECT 1 / 0');
    await expect(migrateDatabase(host())).rejects.toMatchObject({
      code: 'configuration',
      message: 'migration 0002_broken failed: division by zero',
    });
    expect(await tables('public')).toEqual([]);
    rmSync(join(folder, '0002_broken.sql'));
    expect(await migrateDatabase(host())).toEqual({ applied: ['0001_shop_order'] });
  });

  it('is refused under a role that does not own it, and under a name that is none', async () => {
    await expect(migrateDatabase({ url: test.url })).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringMatching(/permission denied.*: give the URL of its owner$/),
    });
    await expect(migrateDatabase({ ...host(), program: 'x; DROP' })).rejects.toMatchObject({ code: 'configuration' });
  });
});
