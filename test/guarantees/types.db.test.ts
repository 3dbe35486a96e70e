import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectTrueJournal, head, type Lab, lab, type Session, written } from './journaled.ts';

let at: Lab;
let owner: Session;
let tables = 0;

beforeAll(async () => {
  at = await lab();
  owner = at.owner;
  await owner.sql(`
    CREATE EXTENSION citext; CREATE EXTENSION hstore;
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'so "so", {x}');
    CREATE TYPE pair AS (a integer, "b ""q" text);
    CREATE TYPE nested AS (p pair, f float8, d date, j json);
    CREATE TYPE span AS RANGE (subtype = float8);
    CREATE DOMAIN short AS varchar(5) CHECK (value <> 'bad');
    CREATE DOMAIN shorts AS short[];
    CREATE DOMAIN document AS jsonb;
    CREATE DOMAIN couple AS pair;
    CREATE DOMAIN always AS integer NOT NULL DEFAULT 0;
    CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`);
});
afterAll(() => at.close());

/** A table with a column of the type; its resource. */
async function tableOf(type: string): Promise<string> {
  const table = `typed_${++tables}`;
  await owner.sql(`CREATE TABLE ${table} (id integer PRIMARY KEY, v ${type}, untouched always DEFAULT 1);
    SELECT tidemark.journal_table('${table}')`);
  return table;
}

/** Every value inserted, changed into every neighbour, into NULL and back: all journaled exactly. */
async function roundTrips(type: string, values: string[]): Promise<void> {
  const table = await tableOf(type);
  const cast = type.replace(/ COLLATE.*/, '');
  const all = values.map((value, index) => `(${index}, (${value})::${cast})`).join(', ');
  await owner.sql(`INSERT INTO ${table} (id, v) VALUES ${all}`);
  await expectTrueJournal(owner, table);
  for (let step = 1; step < values.length; step++) {
    await owner.sql(`WITH w(id, v) AS (VALUES ${all}) UPDATE ${table} t SET v = w.v
      FROM w WHERE w.id = (t.id + ${step}) % ${values.length}`);
    await expectTrueJournal(owner, table);
  }
  await owner.sql(`UPDATE ${table} SET v = NULL`);
  await expectTrueJournal(owner, table);
  await owner.sql(`WITH w(id, v) AS (VALUES ${all}) UPDATE ${table} t SET v = w.v FROM w WHERE w.id = t.id`);
  await expectTrueJournal(owner, table);
  const before = await head(owner);
  await owner.sql(`UPDATE ${table} SET v = v`);
  expect(await head(owner)).toBe(before);
}

const TYPES: [type: string, values: string[]][] = [
  ['boolean', ['true', 'false']],
  ['smallint', ['-32768', '32767']],
  ['bigint', ["'-9223372036854775808'", '9223372036854775807', '9007199254740993']],
  ['numeric', ["'NaN'", "'Infinity'", "'-Infinity'", '1.5', '1.50', '1.500', '0', '0.000', "'1e-300'", "'1e300'"]],
  ['numeric(38,20)', ['123456789012345678.12345678901234567890', '0.00000000000000000001']],
  ['real', ["'NaN'", "'Infinity'", "'-Infinity'", '0', "'-0'", "'1.17549435e-38'", "'3.4028235e38'", '0.1']],
  [
    'float8',
    ["'NaN'", "'Infinity'", "'-Infinity'", '0', "'-0'", "'5e-324'", "'1.7976931348623157e308'", '0.1::float8 + 0.2'],
  ],
  ['text', ["''", "'a'", 'E\'tab\\t"quote" \\\\ \\u0001 \\u2028 é 日本 😀\'', "'null'", "'{}'"]],
  ['text COLLATE nocase', ["'Foo'", "'foo'", "'FOO '"]],
  ['varchar(10)', ["'a'", "'a '"]],
  ['char(5)', ["'a'", "'abcde'", "''"]],
  ['name', ["'a_name'", "'Another'"]],
  ['"char"', ["'x'", "''", "'y'"]],
  ['citext', ["'Foo'", "'foo'"]],
  ['uuid', ["'0198aaaa-0000-7000-8000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"]],
  ['bytea', ["''", "'\\x00ff5c27'", "decode('4142', 'hex')"]],
  ['date', ["'infinity'", "'-infinity'", "'0044-03-15 BC'", "'5874897-12-31'", "'2024-02-29'"]],
  [
    'timestamp',
    ["'infinity'", "'-infinity'", "'0044-03-15 12:00:00.000001 BC'", "'294276-12-31 23:59:59.999999'", "'2024-01-01'"],
  ],
  [
    'timestamptz',
    [
      "'infinity'",
      "'-infinity'",
      "'0044-03-15 12:00:00.000001+00 BC'",
      "'294276-12-31 23:59:59.999999+00'",
      "'2024-03-31 02:30:00.123456+05:30'",
    ],
  ],
  ['time', ["'24:00:00'", "'00:00:00.000001'"]],
  ['timetz', ["'24:00:00-15:59'", "'00:00:00.000001+05:30'", "'00:00:00.000001+05'"]],
  ['interval', ["'1 day'", "'24 hours'", "'-1 year 2 mons -3 days 04:05:06.000007'", "'0'"]],
  ['interval day to second(2)', ["'1 day 2.25 s'", "'26 hours'"]],
  ['money', ["'1234567.89'", "'-0.01'"]],
  ['json', [`'{"b":1,  "a":2, "b":3}'`, `'{"a":2,"b":3}'`, "'null'", "' [ 1 ]'", "'1.0'", "'1.00'"]],
  ['jsonb', [`'{"b":1,"a":2}'`, "'null'", "'1.0'", "'1.00'", `'"1"'`, "'[]'", "'[[1],[2]]'", `'"a string"'`]],
  [
    'jsonb[]',
    [
      "ARRAY['[1,2]','[3,4]']",
      "ARRAY[ARRAY['1','2'],ARRAY['3','4']]",
      "ARRAY['null', NULL]",
      "ARRAY[NULL, 'null']",
      "'{}'",
    ],
  ],
  ['json[]', [`ARRAY['{"a":1}','{"a": 1}']`, "ARRAY['null', NULL]"]],
  ['xml', ['\'<a  b="1"/>\'', '\'<a b="1"/>\'', "'text only'"]],
  ['mood', ["'sad'", "'ok'", `'so "so", {x}'`]],
  ['mood[]', [`ARRAY['sad', NULL, 'so "so", {x}']`, "'{}'"]],
  ['hstore', [`'a=>1, b=>NULL, "c d"=>"e, \\"f"'`, "''", "'b=>NULL'"]],
  ['inet', ["'10.0.0.1'", "'10.0.0.1/8'", "'::1'", "'2001:db8::/32'"]],
  ['cidr', ["'10.0.0.0/8'", "'2001:db8::/32'"]],
  ['macaddr', ["'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'"]],
  ['bit(3)', ["'101'", "'000'"]],
  ['bit varying', ["''", "'1'", "'01'"]],
  ['point', ["'(0,-0)'", "'(0,0)'", "'(0.1,NaN)'", "'(1e308,-Infinity)'"]],
  ['box', ["'((0,0),(1,1))'", "'((0,0),(1,1.5))'"]],
  ['box[]', [`'{(1,1),(0,0);(2,2),(0,0)}'`, `'{(1,1),(0,0)}'`]],
  ['path', ["'[(0,0),(1,1)]'", "'((0,0),(1,1))'"]],
  ['circle', ["'<(0,0),1>'", "'<(0,0),0.1>'"]],
  ['int4range', ["'[1,5)'", "'empty'", "'(,)'", "'[1,)'"]],
  ['tstzrange', ["'[2024-01-01 00:00+02,infinity)'", "'[2024-01-02 00:00:00.000001+00,2024-03-04)'", "'empty'"]],
  ['span', ["'[-0,0.1]'", "'[0,0.1]'", "'(NaN,NaN]'"]],
  ['int4multirange', ["'{[1,3),[5,9)}'", "'{}'"]],
  ['tstzmultirange', ["'{[2024-01-01,2024-02-01),[2025-01-01,)}'", "'{}'"]],
  ['pair', ['row(1, NULL)', 'row(NULL, NULL)', `row(1, 'a "b", (c) \\')`, "row(NULL, '')"]],
  ['pair[]', [`ARRAY[row(1, 'a,"b')::pair, NULL, row(NULL, NULL)::pair]`, "'{}'"]],
  [
    'nested',
    [
      "row(row(1, 'x'), '-0', '0044-03-15 BC', '{\"a\":  1}')",
      "row(row(1, 'x'), 0, '0044-03-15 BC', '{\"a\": 1}')",
      'row(NULL, NULL, NULL, NULL)',
    ],
  ],
  ['pg_lsn', ["'0/0'", "'16/B374D848'"]],
  ['tsvector', [`'a:1A b:2,3 ''it''''s'':4'`, "''"]],
  ['tsquery', ["'a & !b | c:*'", "'a'"]],
  ['oid', ['0', "'4294967295'"]],
  ['regclass', ["'pg_class'", "'pg_type'"]],
  ['int2vector', ["'1 2 3'", "'1'"]],
  ['xid8', ["'5'", "'18446744073709551615'"]],
  [
    'integer[]',
    [
      'ARRAY[1, NULL, 3]',
      "'{}'",
      "'[2:3]={5,6}'",
      "'{{1,2},{3,4}}'",
      "'[0:1][5:6]={{1,2},{3,4}}'",
      'ARRAY[NULL]::integer[]',
    ],
  ],
  ['numeric[]', ["ARRAY[1.50, 'NaN', NULL, 'Infinity']", 'ARRAY[1.5]']],
  [
    'float8[]',
    [
      "ARRAY[0, '-0', 'NaN', 'Infinity', NULL, 1e-10, 1e-100]",
      'ARRAY[0, 0]',
      "'{{-0},{0}}'",
      "ARRAY['-10', '-20']",
      "ARRAY['-0']",
    ],
  ],
  ['real[]', ["ARRAY['-0', 0.1]", 'ARRAY[0.1]']],
  ['text[]', [`ARRAY['NULL', NULL, '', 'a,"b"', '{}', '\\', '-0']`, "ARRAY['[x']", "'[2:2]={x}'"]],
  ['bytea[]', [`ARRAY['\\x00ff'::bytea, '', NULL]`, "'{}'"]],
  ['date[]', ["ARRAY['infinity'::date, '0044-03-15 BC', NULL]", "'{}'"]],
  ['timestamptz[]', ["ARRAY['-infinity'::timestamptz, '0044-03-15 12:00:00.000001+00 BC', NULL]", "'{}'"]],
  ['interval[]', ["ARRAY['1 day'::interval]", "ARRAY['24 hours'::interval]"]],
  ['boolean[]', ['ARRAY[true, NULL, false]', "'{}'"]],
  ['citext[]', ["ARRAY['Foo'::citext]", "ARRAY['foo'::citext]"]],
  ['char(3)[]', ["ARRAY['a', NULL]", "ARRAY['abc']"]],
  ['int4range[]', ["ARRAY['[1,5)'::int4range, 'empty', NULL]", "'{}'"]],
  ['short', ["'abc'", "''"]],
  ['shorts', ["ARRAY['abc', NULL]", "'{}'", "'[3:3]={x}'"]],
  ['short[]', ["ARRAY['abc', NULL]", "'{}'"]],
  ['document', ["'null'", `'{"a": 1.0}'`, `'{"a": 1.00}'`]],
  ['couple', ['row(1, NULL)', "row(2, 'x')"]],
];

describe('a value is journaled exactly, whatever is made of it', () => {
  it.each(TYPES)('%s', async (type, values) => {
    await roundTrips(type, values);
  });

  it('interval infinity, where the server has it (17 and later)', async () => {
    if (at.major >= 17) await roundTrips('interval', ["'infinity'", "'-infinity'", "'1 day'"]);
  });
});

describe('what the values look like in history', () => {
  it('SQL NULL and the null of jsonb are kept apart', async () => {
    const table = await tableOf('jsonb');
    await owner.sql(`INSERT INTO ${table} VALUES (1, 'null'), (2, NULL)`);
    await owner.sql(`UPDATE ${table} SET v = CASE id WHEN 1 THEN NULL ELSE 'null'::jsonb END`);
    const rows = await owner.sql(
      `SELECT id, value::text AS value FROM ${table}_history WHERE field = 'v' ORDER BY tid, id`,
    );
    expect(rows).toEqual([
      { id: '1', value: 'null' },
      { id: '1', value: null },
      { id: '2', value: 'null' },
    ]);
  });

  it('a MODIFY holds what changed and nothing else, a CREATE what is not NULL', async () => {
    await owner.sql(`CREATE TABLE wide (id integer PRIMARY KEY, a text, b integer, c jsonb, d date);
      SELECT tidemark.journal_table('wide')`);
    await owner.sql(`INSERT INTO wide VALUES (1, 'x', NULL, '{"k": [1]}', NULL)`);
    await owner.sql(`UPDATE wide SET a = NULL, b = 2, c = '{"k": [1]}'`);
    await owner.sql('DELETE FROM wide');
    expect((await written(owner, 'wide')).map(({ change, fields }) => [change, fields])).toEqual([
      ['CREATE', { id: 1, a: 'x', c: { k: [1] } }],
      ['MODIFY', { a: null, b: 2 }],
      ['DELETE', {}],
    ]);
  });

  it('a text of 5 MB is journaled once; a change beside it does not copy it', async () => {
    const table = await tableOf('text');
    await owner.sql(`INSERT INTO ${table} SELECT 1, string_agg(md5(g::text), '') FROM generate_series(1, 160000) g`);
    await owner.sql(`UPDATE ${table} SET untouched = 2`);
    await owner.sql(`UPDATE ${table} SET v = v || 'end'`);
    const fields = await owner.sql(`SELECT field FROM ${table}_history WHERE id = '1' ORDER BY tid, field`);
    expect(fields.map(({ field }) => field)).toEqual(['id', 'untouched', 'v', 'untouched', 'v']);
    await expectTrueJournal(owner, table);
  });
});
