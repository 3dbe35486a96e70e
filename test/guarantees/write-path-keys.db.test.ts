import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { changes, expectTrueJournal, head, type Lab, lab, type Session, written } from './journaled.ts';

let at: Lab;
let owner: Session;

beforeAll(async () => {
  at = await lab();
  owner = at.owner;
  await owner.sql(`CREATE EXTENSION citext; CREATE TYPE pair AS (a integer, b text); CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE DOMAIN word AS text CHECK (value <> '')`);
});
afterAll(() => at.close());

const KEYS: [type: string, values: string[], ids: string[]][] = [
  [
    'uuid',
    ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'"],
    ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'],
  ],
  ['text', ['\'a/b "c"\'', "''"], ['a/b "c"', '']],
  ['text COLLATE nocase', ["'Foo'", "'bar'"], ['Foo', 'bar']],
  ['citext', ["'Foo'", "'bar'"], ['Foo', 'bar']],
  ['varchar(5)', ["'a'", "'b '"], ['a', 'b ']],
  ['word', ["'a'", "'b'"], ['a', 'b']],
  ['name', ["'a'", "'b'"], ['a', 'b']],
  ['numeric', ['1.50', "'NaN'"], ['1.50', 'NaN']],
  ['numeric(6,2)', ['1.5', '-2'], ['1.50', '-2.00']],
  ['float8', ['0.1::float8 + 0.2', '1e300'], ['0.30000000000000004', '1e+300']],
  ['bigint', ['9007199254740993', '-1'], ['9007199254740993', '-1']],
  ['boolean', ['true', 'false'], ['true', 'false']],
  ['timestamptz', ["'2024-03-31 02:30:00.5+05:30'", "'infinity'"], ['2024-03-30 21:00:00.5+00', 'infinity']],
  ['date', ["'2024-02-29'", "'0044-03-15 BC'"], ['2024-02-29', '0044-03-15 BC']],
  ['bytea', ["'\\x00ff'", "''"], ['\\x00ff', '\\x']],
  ['interval', ["'25 hours'", "'2 days'"], ['25:00:00', '2 days']],
  ['inet', ["'10.0.0.1'", "'::1'"], ['10.0.0.1/32', '::1/128']],
  ['int4range', ["'[1,5)'", "'empty'"], ['[1,5)', 'empty']],
  ['integer[]', ["'{1,2}'", "'{}'"], ['{1,2}', '{}']],
  ['pair', ['row(1, NULL)', "row(2, 'x')"], ['(1,)', '(2,x)']],
  ['mood', ["'sad'", "'ok'"], ['sad', 'ok']],
  ['jsonb', [`'{"b":1,"a":2}'`, "'null'"], ['{"a": 2, "b": 1}', 'null']],
];

describe('a key of any type names its row by its text', () => {
  it.each(KEYS)('%s', async (type, values, ids) => {
    const table = `key_${KEYS.findIndex(([each]) => each === type)}`;
    await owner.sql(`CREATE TABLE ${table} (k ${type} PRIMARY KEY, n integer NOT NULL DEFAULT 0);
      SELECT tidemark.journal_table('${table}', row_version => true)`);
    const session = await at.session();
    await session.sql(`SET extra_float_digits = 0; SET TimeZone = 'Pacific/Chatham'; SET DateStyle = 'German'; SET bytea_output = escape;
      SET IntervalStyle = 'iso_8601'`);
    for (const value of values)
      await session.sql(`INSERT INTO ${table} (k) VALUES ((${value})::${type.replace(/ COLLATE.*/, '')})`);
    await session.sql(`UPDATE ${table} SET n = n + 1`);
    expect((await changes(owner, table)).slice(0, 2)).toEqual(ids.map((id) => `CREATE ${id}`));
    expect(
      (await written(owner, table))
        .slice(2)
        .map(({ id, change }) => `${change} ${id}`)
        .sort(),
    ).toEqual(ids.map((id) => `MODIFY ${id}`).sort());
    await expectTrueJournal(owner, table);
    await session.sql(`DELETE FROM ${table}`);
    await expectTrueJournal(owner, table);
  });
});

describe('a key that changes is a DELETE and a CREATE', () => {
  it('also where the index takes old and new for equal: citext, numeric, a case-blind collation', async () => {
    for (const [type, from, to] of [
      ['citext', 'Foo', 'foo'],
      ['numeric', '1.5', '1.50'],
      ['text COLLATE nocase', 'Foo', 'FOO'],
      ['float8', '0', '-0'],
    ] as const) {
      const resource = `same_${type.split(' ')[0]}`;
      await owner.sql(
        `CREATE TABLE ${resource} (k ${type} PRIMARY KEY, n integer); SELECT tidemark.journal_table('${resource}')`,
      );
      await owner.sql(`INSERT INTO ${resource} VALUES ('${from}', 1); UPDATE ${resource} SET k = '${to}'`);
      expect(await changes(owner, resource)).toEqual([
        `CREATE ${from}`,
        ...[`CREATE ${to}`, `DELETE ${from}`].sort(byId),
      ]);
      await expectTrueJournal(owner, resource);
    }
  });

  it('rows that move up by one: one statement, every key of them taken by the next row', async () => {
    await owner.sql(`CREATE TABLE shift (id integer PRIMARY KEY, name text); SELECT tidemark.journal_table('shift');
      INSERT INTO shift VALUES (1, 'a'), (2, 'b'), (3, 'c')`);
    const before = await head(owner);
    await owner.sql('UPDATE shift SET id = id - 1');
    const entries = await written(owner, 'shift', before);
    expect(entries.map(({ change, id, fields }) => [change, id, fields])).toEqual([
      ['CREATE', '0', { id: 0, name: 'a' }],
      ['MODIFY', '1', { name: 'b' }],
      ['MODIFY', '2', { name: 'c' }],
      ['DELETE', '3', {}],
    ]);
    await expectTrueJournal(owner, 'shift');
  });

  it('two rows swap their keys in one transaction', async () => {
    await owner.sql(`CREATE TABLE swap (id integer PRIMARY KEY, name text); SELECT tidemark.journal_table('swap');
      INSERT INTO swap VALUES (1, 'a'), (2, 'b')`);
    await owner.sql(
      'BEGIN; UPDATE swap SET id = 0 WHERE id = 1; UPDATE swap SET id = 1 WHERE id = 2; UPDATE swap SET id = 2 WHERE id = 0; COMMIT',
    );
    expect(await owner.sql('SELECT id, name FROM swap ORDER BY id')).toEqual([
      { id: 1, name: 'b' },
      { id: 2, name: 'a' },
    ]);
    await expectTrueJournal(owner, 'swap');
  });

  it('a row moves twice in one statement, by a cascade after it moved', async () => {
    await owner.sql(`CREATE TABLE up (id integer PRIMARY KEY); CREATE TABLE down (id integer PRIMARY KEY REFERENCES up ON UPDATE CASCADE, n integer);
      SELECT tidemark.journal_table('up'), tidemark.journal_table('down'); INSERT INTO up VALUES (1), (2); INSERT INTO down VALUES (1, 5)`);
    const before = await head(owner);
    await owner.flush(['UPDATE down SET id = 2 WHERE id = 1', 'UPDATE up SET id = 3 WHERE id = 2']);
    expect(await owner.value('SELECT id FROM down')).toBe(3);
    expect((await changes(owner, 'down', before)).sort()).toEqual(['CREATE 3', 'DELETE 1']);
    await expectTrueJournal(owner, 'down');
  });
});

describe('a composite key', () => {
  it('is the JSON array of its values, as JSON.stringify writes it', async () => {
    await owner.sql(`CREATE TABLE member (b text, team integer, "weird ""name" text, at date, n integer DEFAULT 0,
      PRIMARY KEY (team, "weird ""name", b, at)); SELECT tidemark.journal_table('member')`);
    const rows: [number, string, string, string][] = [
      [1, 'plain', '', '2024-02-29'],
      [2, 'quote " backslash \\ slash / nl \n tab \t', '日本 😀 \u2028', '2024-01-01'],
      [-3, '\u0001\u001f\u007f\b\f\r', '[1,"2"]', '1999-12-31'],
    ];
    for (const row of rows)
      await owner.sql(`INSERT INTO member (team, "weird ""name", b, at) VALUES ($1, $2, $3, $4)`, row);
    expect((await written(owner, 'member')).map(({ id }) => id)).toEqual(rows.map((row) => JSON.stringify(row)));
    await owner.sql(`UPDATE member SET n = 1`);
    await owner.sql(`UPDATE member SET b = b || 'x' WHERE team = 1`);
    await owner.sql(`DELETE FROM member WHERE team = 2`);
    await expectTrueJournal(owner, 'member');
  });

  it('looks its rows up by the whole key: 3,000 rows that share all but the last column', async () => {
    await owner.sql(`CREATE TABLE pairs (a text, b citext, c integer, n integer, PRIMARY KEY (a, b, c)); SELECT tidemark.journal_table('pairs');
      INSERT INTO pairs SELECT 'same', 'Same', g, 0 FROM generate_series(1, 3000) g`);
    const started = performance.now();
    await owner.sql('UPDATE pairs SET n = 1');
    expect(performance.now() - started).toBeLessThan(3_000);
    await expectTrueJournal(owner, 'pairs');
  });
});

function byId(a: string, b: string): number {
  const id = (text: string) => text.slice(text.indexOf(' '));
  return id(a) < id(b) ? -1 : 1;
}
