import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { changes, expectTrueJournal, head, type Lab, lab, type Session, written } from './journaled.ts';

let at: Lab;
let owner: Session;

beforeAll(async () => {
  at = await lab();
  owner = at.owner;
});
afterAll(() => at.close());

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;
const RESERVED = [
  ...['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'r', 's', 't', 'v', 'w'],
  ...[
    'tid',
    'value',
    'field',
    'change',
    'changed',
    'row_version',
    'resource',
    'told',
    'stamp',
    'txn',
    'time',
    'author',
  ],
  ...['new_rows', 'old_rows', 'tg_op', 'new', 'old', 'found', 'user', 'select', 'order', 'null', 'age', 'row', 'meta'],
];
const STRANGE = [
  ...[
    'weird "name',
    'Grüße',
    '日本',
    'a%b',
    '%s',
    '%1$s',
    '%%',
    '%I',
    'per cent %',
    "it's",
    'back\\slash',
    'a.b',
    'a/b',
    '$1',
    '$$',
    '$body$',
    '--',
  ],
  ...['x'.repeat(63), ' ', 'line\nbreak', '{', '"', "''", ';', 'JSON', 'UPPER'],
];

describe('a column may be named like anything', () => {
  it('also like the names that the triggers themselves use', async () => {
    const columns = RESERVED.map((name) => `${quote(name)} integer`).join(', ');
    await owner.sql(
      `CREATE TABLE reserved (id integer PRIMARY KEY, ${columns}); SELECT tidemark.journal_table('reserved')`,
    );
    await owner.sql(`INSERT INTO reserved (id) VALUES (1)`);
    for (const [index, name] of RESERVED.entries()) {
      await owner.sql(`UPDATE reserved SET ${quote(name)} = ${index}`);
      expect((await written(owner, 'reserved')).at(-1)?.fields).toEqual({ [name]: index });
    }
    await expectTrueJournal(owner, 'reserved');
    await owner.sql('DELETE FROM reserved');
    await expectTrueJournal(owner, 'reserved');
  });

  it('with quotes, percent signs, backslashes, blanks, other scripts', async () => {
    const columns = STRANGE.map((name) => `${quote(name)} text[] DEFAULT '{x}'`).join(', ');
    await owner.sql(`CREATE TABLE strange (id integer PRIMARY KEY, ${columns});
      SELECT tidemark.journal_table('strange', row_version => true)`);
    await owner.sql(`INSERT INTO strange (id) VALUES (1)`);
    for (const name of STRANGE) {
      await owner.sql(`UPDATE strange SET ${quote(name)} = '{%s,NULL}'`);
      expect((await written(owner, 'strange')).at(-1)?.fields).toEqual({ [name]: ['%s', null] });
    }
    await expectTrueJournal(owner, 'strange');
  });

  it.each(STRANGE)('as a key, alone and in a composite one: %p', async (name) => {
    const table = `key_${STRANGE.indexOf(name)}`;
    await owner.sql(`CREATE TABLE ${table} (${quote(name)} text PRIMARY KEY, n integer);
      CREATE TABLE ${table}_2 (${quote(name)} text, k integer, n integer, PRIMARY KEY (k, ${quote(name)}));
      SELECT tidemark.journal_table('${table}', row_version => true), tidemark.journal_table('${table}_2')`);
    for (const each of [table, `${table}_2`]) {
      await owner.sql(
        `INSERT INTO ${each} (${quote(name)}${each === table ? '' : ', k'}) SELECT '%s'${each === table ? '' : ', 1'}`,
      );
      await owner.sql(
        `UPDATE ${each} SET n = 1; UPDATE ${each} SET ${quote(name)} = 'other'; DELETE FROM ${each} WHERE false`,
      );
      await expectTrueJournal(owner, each);
      await owner.sql(`DELETE FROM ${each}`);
      await expectTrueJournal(owner, each);
    }
  });

  it.each(['l', 'n', 'o', 'i', 'd', 'f', 'tid', 'new_rows', 'tg_op', 'row_version'])(
    'the key is named %s',
    async (name) => {
      await owner.sql(`CREATE TABLE only_${name} (${name} integer PRIMARY KEY, x text); SELECT tidemark.journal_table('only_${name}');
      INSERT INTO only_${name} VALUES (1), (2); UPDATE only_${name} SET x = 'x', ${name} = ${name} + 10; DELETE FROM only_${name} WHERE ${name} = 11`);
      await expectTrueJournal(owner, `only_${name}`);
    },
  );
});

describe('a table may be named like anything', () => {
  it.each([
    'weird "name',
    'Grüße',
    'a%b',
    '%1$s %s',
    "it's",
    'a.b',
    '$body$',
    'select',
    'new_rows',
    'old_rows',
    'd',
    't'.repeat(55),
  ])('%s', async (name) => {
    const table = quote(name);
    await owner.sql(`CREATE TABLE ${table} (id integer PRIMARY KEY, n numeric[]);`);
    await owner.sql('SELECT tidemark.journal_table($1::text::regclass, row_version => true, field_index => true)', [
      table,
    ]);
    await owner.sql(`INSERT INTO ${table} VALUES (1, '{1}'), (2, NULL)`);
    await owner.sql(
      `UPDATE ${table} SET n = '{1.0}'; UPDATE ${table} SET id = 3 WHERE id = 1; DELETE FROM ${table} WHERE id = 2`,
    );
    expect(await owner.value('SELECT count(*)::integer FROM tidemark.journal WHERE resource = $1', [name])).toBe(7);
    await owner.sql('SELECT tidemark.journal_table($1::text::regclass)', [table]);
    await expectTrueJournal(owner, name);
    expect(await owner.sql('SELECT * FROM tidemark.table_problems()')).toEqual([]);
    await expect(owner.refusal(`TRUNCATE ${table}`)).resolves.toMatch(/^55000 /);
  });

  it('with one column, the key', async () => {
    await owner.sql(`CREATE TABLE lone (id integer PRIMARY KEY); SELECT tidemark.journal_table('lone', row_version => true);
      INSERT INTO lone VALUES (1); UPDATE lone SET id = 2; DELETE FROM lone; INSERT INTO lone VALUES (3)`);
    expect((await changes(owner, 'lone')).sort()).toEqual(['CREATE 1', 'CREATE 2', 'CREATE 3', 'DELETE 1', 'DELETE 2']);
    await expectTrueJournal(owner, 'lone');
  });
});

describe('the same table name in another schema', () => {
  it('is refused unless the resource gets a name', async () => {
    await owner.sql(`CREATE SCHEMA "Other ""schema"; CREATE TABLE twin (id integer PRIMARY KEY);
      CREATE TABLE "Other ""schema".twin (id integer PRIMARY KEY); SELECT tidemark.journal_table('twin')`);
    const second = `'"Other ""schema".twin'`;
    expect(await owner.refusal(`SELECT tidemark.journal_table(${second})`)).toMatch(
      /^42710 the resource name "twin" is taken by another table: give journal_table\(\) one/,
    );
    await owner.sql(`SELECT tidemark.journal_table(${second}, 'other.twin')`);
    await owner.sql(`INSERT INTO twin VALUES (1); INSERT INTO "Other ""schema".twin VALUES (2)`);
    expect(await changes(owner, 'twin')).toEqual(['CREATE 1']);
    expect(await changes(owner, 'other.twin')).toEqual(['CREATE 2']);
    expect(await owner.value(`SELECT count(*)::integer FROM "Other ""schema".twin_journal`)).toBe(1);
    await expectTrueJournal(owner, 'other.twin');
  });

  it('a resource cannot be renamed, nor have an empty or too long name', async () => {
    await owner.sql(`CREATE TABLE named (id integer PRIMARY KEY); SELECT tidemark.journal_table('named')`);
    expect(await owner.refusal(`SELECT tidemark.journal_table('named', 'other name')`)).toMatch(
      /^55000 .*is journaled as "named", which cannot become "other name"/,
    );
    await owner.sql('CREATE TABLE unnamed (id integer PRIMARY KEY)');
    for (const name of ['', 'x'.repeat(56)])
      expect(await owner.refusal(`SELECT tidemark.journal_table('unnamed', '${name}')`)).toMatch(
        /^42622 .*1 to 55 bytes/,
      );
  });
});

describe('columns that are computed', () => {
  it('stored and virtual generated columns stay out of history; identity columns are in it', async () => {
    const virtual = at.major >= 18 ? ', v integer GENERATED ALWAYS AS (n * 3) VIRTUAL' : '';
    await owner.sql(`CREATE TABLE computed (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n integer,
      double integer GENERATED ALWAYS AS (n * 2) STORED${virtual}); SELECT tidemark.journal_table('computed', row_version => true)`);
    await owner.sql('INSERT INTO computed (n) VALUES (1), (2); UPDATE computed SET n = 5 WHERE id = 1');
    const before = await head(owner);
    await owner.sql('UPDATE computed SET n = n');
    expect(await head(owner)).toBe(before);
    expect((await written(owner, 'computed')).map(({ fields }) => fields)).toEqual([
      { id: 1, n: 1 },
      { id: 2, n: 2 },
      { n: 5 },
    ]);
    await owner.sql('INSERT INTO computed (id, n) OVERRIDING SYSTEM VALUE VALUES (50, 1)');
    await expectTrueJournal(owner, 'computed');
  });
});
