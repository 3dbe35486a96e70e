import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { migrate, migrationsFolder } from '#libs/migrations';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { changes, expectTrueJournal, head, type Lab, lab, Session, written } from './journaled.ts';

const run = promisify(execFile);
let at: Lab;
let owner: Session;

beforeAll(async () => {
  at = await lab();
  owner = at.owner;
  await owner.sql(`
    CREATE SCHEMA "other schema";
    CREATE TABLE par (id integer PRIMARY KEY);
    CREATE TABLE item (id integer PRIMARY KEY, gone text, p integer REFERENCES par ON DELETE CASCADE, price money, list float8[]);
    CREATE TABLE "other schema"."weird ""table" (a integer, b text, PRIMARY KEY (b, a));
    ALTER TABLE item DROP COLUMN gone;
    SELECT tidemark.journal_table('par', row_version => true), tidemark.journal_table('item', row_version => true, field_index => true),
      tidemark.journal_table('"other schema"."weird ""table"', 'weird');
    GRANT SELECT, INSERT, UPDATE, DELETE ON par, item TO tidemark_app;
    INSERT INTO par VALUES (1), (2); INSERT INTO item VALUES (1, 1, 12.5, '{-0,NaN}'), (2, 2, NULL, NULL);
    INSERT INTO "other schema"."weird ""table" VALUES (1, 'x'); UPDATE item SET price = 13; DELETE FROM par WHERE id = 2`);
});
afterAll(() => at.close());

/** pg_dump and psql of this machine, when they are not older than the server. */
async function clientMajor(): Promise<number> {
  const { stdout } = await run('pg_dump', ['--version']).catch(() => ({ stdout: '' }));
  return Number(/(\d+)/.exec(stdout)?.[1] ?? 0);
}

describe('dump and restore (where pg_dump is there and new enough)', () => {
  let copy: TestDatabase | undefined;
  let restored: Session | undefined;

  beforeAll(async () => {
    if ((await clientMajor()) < at.major) return;
    copy = await testDatabase({ migrated: false });
    const { stdout } = await run('pg_dump', ['--dbname', at.ownerUrl], { maxBuffer: 1 << 28 });
    const restore = execFile('psql', ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', '--dbname', copy.ownerUrl]);
    restore.stdin?.end(stdout);
    let complaints = '';
    restore.stderr?.on('data', (text) => {
      complaints += text;
    });
    const code = await new Promise((resolve) => restore.on('exit', resolve));
    expect([code, complaints]).toEqual([0, '']);
    restored = await Session.open(copy.ownerUrl);
  });
  afterAll(async () => {
    await restored?.client.end();
    await copy?.drop();
  });

  it('keeps the journal, finds no problem, and goes on with the next tid', async () => {
    if (restored === undefined) return;
    expect(await restored.sql('SELECT * FROM tidemark.table_problems()')).toEqual([]);
    for (const resource of ['par', 'item', 'weird']) {
      expect(await written(restored, resource)).toEqual(await written(owner, resource));
      await expectTrueJournal(restored, resource);
    }
    // cursors of the original are not taken for cursors of the copy, unless the copy is said to take its place
    const epoch = await owner.value('SELECT epoch FROM tidemark.epoch');
    expect(await restored.value('SELECT tidemark.current_epoch()')).not.toBe(epoch);
    expect(await restored.value('SELECT tidemark.keep_epoch()')).toBe(epoch);
    expect(await restored.value('SELECT tidemark.current_epoch()')).toBe(epoch);
    const before = await head(owner);
    expect(await head(restored)).toBe(before);
    await restored.flush(['UPDATE item SET price = 14', `INSERT INTO "other schema"."weird ""table" VALUES (2, 'y')`]);
    await restored.sql('DELETE FROM par');
    expect(await changes(restored, 'weird', before)).toEqual(['CREATE ["y",2]']);
    expect(await changes(restored, 'item', before)).toEqual(['MODIFY 1', 'DELETE 1']);
    expect((await written(restored, 'weird', before))[0]?.tid).toBe(before + 1);
    for (const resource of ['par', 'item', 'weird']) await expectTrueJournal(restored, resource);
  });

  it('keeps the program out', async () => {
    if (restored === undefined) return;
    for (const statement of [
      'DELETE FROM item_journal',
      `SELECT nextval('tidemark.tid')`,
      'SELECT tidemark.journal_item()',
    ]) {
      await restored.sql('BEGIN; SET LOCAL ROLE tidemark_app');
      expect(await restored.refusal(statement)).toMatch(/^42501 /);
    }
  });

  it('journal_table() called again finds nothing to journal', async () => {
    if (restored === undefined) return;
    const before = await head(restored);
    await restored.sql(
      `SELECT tidemark.journal_table('item'), tidemark.journal_table('"other schema"."weird ""table"')`,
    );
    expect(await head(restored)).toBe(before);
    await expectTrueJournal(restored, 'item');
  });
});

describe('an owner that is no superuser', () => {
  it('migrates, journals its tables, and works as the program, once it is a member of the two roles', async () => {
    const test = await testDatabase({ migrated: false });
    const role = `owner_${randomBytes(4).toString('hex')}`;
    const password = randomBytes(8).toString('hex');
    const admin = await Session.open(test.ownerUrl);
    await admin.sql(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'; GRANT tidemark_app, tidemark_importer TO ${role};
      ALTER DATABASE ${test.name} OWNER TO ${role}; ALTER SCHEMA public OWNER TO ${role}`);
    const url = new URL(test.ownerUrl);
    Object.assign(url, { username: role, password });
    await migrate(url.href, [migrationsFolder]);
    const plain = await Session.open(url.href);
    await plain.sql(`CREATE TABLE item (id integer PRIMARY KEY, n integer); SELECT tidemark.journal_table('item', row_version => true);
      GRANT SELECT, INSERT, UPDATE, DELETE ON item TO tidemark_app`);
    await plain.flush(['INSERT INTO item VALUES (1, 1)'], { time: '2001-01-01T00:00:00Z' });
    await plain.sql('SET ROLE tidemark_app');
    await plain.flush(['UPDATE item SET n = 2']);
    expect(await plain.refusal('DELETE FROM item_journal')).toMatch(/^42501 /);
    await plain.sql('RESET ROLE');
    expect(await changes(plain, 'item')).toEqual(['CREATE 1', 'MODIFY 1']);
    expect(await plain.sql('SELECT * FROM tidemark.table_problems()')).toEqual([]);
    await expectTrueJournal(plain, 'item');
    await plain.client.end();
    await admin.sql(`REASSIGN OWNED BY ${role} TO CURRENT_USER; DROP OWNED BY ${role}; DROP ROLE ${role}`);
    await admin.client.end();
    await test.drop();
  });
});
