import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { migrate, migrationsFolder } from '#libs/migrations';
import { testDatabase } from '../support/test-database.ts';
import { expectTrueJournal, head, type Lab, lab, Session, written } from './journaled.ts';

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
  table = `doc_${++made}`;
  await owner.sql(`CREATE TABLE ${table} (id integer PRIMARY KEY, custom jsonb NOT NULL, n integer);
    INSERT INTO ${table} VALUES (1, '{"a":1,"b":null}'), (2, '{}'), (3, '{"a":{"deep":true}}')`);
});
afterAll(() => at.close());

const journal = (keys?: string) =>
  `SELECT tidemark.journal_table('${table}'${keys === undefined ? '' : `, json_keys => ${keys}`})`;
const since = async () =>
  (await written(owner, table, before)).map(({ change, id, comment, fields }) => [change, id, comment, fields]);
const problems = async () =>
  (await owner.sql(`SELECT problem FROM tidemark.table_problems() WHERE resource = '${table}'`)).map(
    ({ problem }) => problem,
  );

describe('json_keys', () => {
  it('given with the first call: the baseline has the keys', async () => {
    before = await head(owner);
    await owner.sql(journal(`'{custom}'`));
    expect(await since()).toEqual([
      ['CREATE', '1', 'baseline', { id: 1, 'custom.a': 1, 'custom.b': null }],
      ['CREATE', '2', 'baseline', { id: 2 }],
      ['CREATE', '3', 'baseline', { id: 3, 'custom.a': { deep: true } }],
    ]);
    await expectTrueJournal(owner, table);
  });

  it('turned on and off later: one MODIFY of each row whose fields are others then', async () => {
    await owner.sql(journal());
    before = await head(owner);
    await owner.sql(journal(`'{custom}'`));
    expect(await since()).toEqual([
      ['MODIFY', '1', 'schema', { custom: null, 'custom.a': 1, 'custom.b': null }],
      ['MODIFY', '2', 'schema', { custom: null }],
      ['MODIFY', '3', 'schema', { custom: null, 'custom.a': { deep: true } }],
    ]);
    await expectTrueJournal(owner, table);
    const on = await head(owner);
    await owner.sql(`${journal()}; ${journal(`'{custom,custom}'`)}`);
    expect(await head(owner)).toBe(on);
    before = on;
    await owner.sql(`UPDATE ${table} SET custom = '{"a":2}' WHERE id = 1; ${journal(`'{}'`)}`);
    expect(await since()).toEqual([
      ['MODIFY', '1', null, { 'custom.a': 2, 'custom.b': null }],
      ['MODIFY', '1', 'schema', { custom: { a: 2 }, 'custom.a': null }],
      ['MODIFY', '2', 'schema', { custom: {} }],
      ['MODIFY', '3', 'schema', { custom: { a: { deep: true } }, 'custom.a': null }],
    ]);
    await expectTrueJournal(owner, table);
    expect(await problems()).toEqual([]);
  });

  it('with a column made anew, and one that is renamed', async () => {
    await owner.sql(
      `${journal(`'{custom}'`)}; ALTER TABLE ${table} DROP custom; ALTER TABLE ${table} ADD custom jsonb NOT NULL DEFAULT '{"a":1,"c":3}'`,
    );
    before = await head(owner);
    await owner.sql(journal());
    expect(await since()).toEqual([
      ['MODIFY', '1', 'schema', { 'custom.b': null, 'custom.c': 3 }],
      ['MODIFY', '2', 'schema', { 'custom.a': 1, 'custom.c': 3 }],
      ['MODIFY', '3', 'schema', { 'custom.a': 1, 'custom.c': 3 }],
    ]);
    await owner.sql(`ALTER TABLE ${table} RENAME custom TO extra`);
    expect(await problems()).toEqual([
      'it can no longer be journaled: it has no column custom, whose keys are to be journaled one by one: say json_keys anew',
    ]);
    expect(await owner.refusal(journal())).toMatch(/it has no column custom/);
    before = await head(owner);
    await owner.sql(journal(`'{extra}'`));
    expect((await since())[0]).toEqual([
      ...['MODIFY', '1', 'schema', { 'custom.a': null, 'custom.c': null, 'extra.a': 1, 'extra.c': 3 }],
    ]);
    await expectTrueJournal(owner, table);
  });

  it('with a table that is rebuilt, dropped and renamed into place', async () => {
    await owner.sql(`${journal(`'{custom}'`)}; CREATE TABLE rebuilt (LIKE ${table} INCLUDING ALL);
      INSERT INTO rebuilt SELECT id, custom || '{"z":26}' FROM ${table} WHERE id < 3; DROP TABLE ${table}; ALTER TABLE rebuilt RENAME TO ${table}`);
    before = await head(owner);
    await owner.sql(journal());
    expect(await since()).toEqual([
      ['MODIFY', '1', 'schema', { 'custom.z': 26 }],
      ['MODIFY', '2', 'schema', { 'custom.z': 26 }],
      ['DELETE', '3', 'schema', {}],
    ]);
    await expectTrueJournal(owner, table);
  });

  it('the table guarantees objects; when it does not any more, that is found', async () => {
    await owner.sql(`${journal(`'{custom}'`)}; ${journal()}`);
    const checks = `SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = '${table}'::regclass`;
    const [check, ...more] = await owner.sql(checks);
    expect(more).toEqual([]);
    expect(await owner.refusal(`UPDATE ${table} SET custom = '[]'`)).toMatch(/^23514 /);
    expect(await owner.refusal(`UPDATE ${table} SET custom = 'null'`)).toMatch(/^23514 /);
    await owner.sql(`ALTER TABLE ${table} DROP CONSTRAINT ${check?.['conname']}`);
    expect(await problems()).toEqual([expect.stringMatching(/has no CHECK \(jsonb_typeof\(custom\) = 'object'\)$/)]);
    expect(await owner.refusal(`UPDATE ${table} SET custom = '[]'`)).toMatch(/cannot call jsonb_each/);
    await owner.sql(`ALTER TABLE ${table} ADD CHECK (jsonb_typeof(custom) = 'object') NOT VALID`);
    expect(await problems()).toHaveLength(1);
    await owner.sql(journal());
    expect(await problems()).toEqual([]);
    await owner.sql(`ALTER TABLE ${table} ALTER custom DROP NOT NULL`);
    expect(await problems()).toEqual([expect.stringMatching(/may be NULL/)]);
  });

  it('is refused with a sentence where keys could not be journaled', async () => {
    await owner.sql(`ALTER TABLE ${table} ADD j json NOT NULL DEFAULT '{}', ADD may jsonb, ADD words jsonb NOT NULL DEFAULT '"text"',
      ADD made jsonb NOT NULL GENERATED ALWAYS AS ('{}'::jsonb) STORED, ADD "n.x" text`);
    const refusals: [keys: string, sentence: RegExp][] = [
      [`'{gone}'`, /it has no column gone/],
      [`'{j}'`, /its column j is json, and only the keys of jsonb/],
      [`'{n}'`, /its column n is integer/],
      [`'{may}'`, /its column may may be NULL/],
      [`'{words}'`, /its column words holds values that are no JSON objects/],
      [`'{made}'`, /its column made is generated/],
      [`'{NULL}'`, /json_keys names no column/],
    ];
    for (const [keys, sentence] of refusals) {
      expect(await owner.refusal(journal(keys))).toMatch(sentence);
      expect(await owner.value(`SELECT to_regclass('${table}_journal')`)).toBeNull();
    }
    await owner.sql(`ALTER TABLE ${table} ADD "custom.a" text`);
    expect(await owner.refusal(journal(`'{custom}'`))).toMatch(
      /its column "custom.a" has the name of a key of its column custom/,
    );
    await owner.sql(`CREATE TABLE keyed_${made} (id jsonb PRIMARY KEY)`);
    expect(await owner.refusal(`SELECT tidemark.journal_table('keyed_${made}', json_keys => '{id}')`)).toMatch(
      /its column id belongs to the primary key/,
    );
  });

  it('gives the program no right to call journal_table() or to change the list', async () => {
    expect(await at.app.refusal(journal(`'{custom}'`))).toMatch(/^42501 /);
    expect(await at.app.refusal(`UPDATE tidemark.resources SET json_keys = '{}'`)).toMatch(/^42501 /);
  });
});

describe('a database from before json_keys', () => {
  it('goes on with the triggers that it has', async () => {
    const old = await testDatabase({ migrated: false });
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-before-'));
    try {
      const files = (await readdir(migrationsFolder)).filter((file) => /^000[1-4]_/.test(file));
      for (const file of files) await copyFile(join(migrationsFolder, file), join(folder, file));
      await migrate(old.ownerUrl, [folder]);
      const session = await Session.open(old.ownerUrl);
      const bodies = `SELECT proname, md5(prosrc), xmin FROM pg_proc WHERE proname IN ('journal_wiki', 'version_wiki', 'journal_odd', 'version_odd')`;
      await session.sql(`CREATE TABLE odd ("a%s" text, "b""c" jsonb, j json, f float8[], PRIMARY KEY ("a%s"));
        SELECT tidemark.journal_table('odd', row_version => true)`);
      const made = await session.sql(bodies);
      expect(made).toHaveLength(4);
      await migrate(old.ownerUrl, [migrationsFolder]);
      expect(await session.sql(bodies)).toEqual(made);
      expect(await session.sql('SELECT * FROM tidemark.table_problems()')).toEqual([]);
      await session.sql(`INSERT INTO odd VALUES ('x', '{"a":1}', '{}', '{1}'); SELECT tidemark.journal_table('odd')`);
      await expectTrueJournal(session, 'odd');
      await session.client.end();
    } finally {
      await rm(folder, { recursive: true });
      await old.drop();
    }
  });
});
