import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectTrueJournal, type Lab, lab, type Session } from './journaled.ts';

let at: Lab;
let owner: Session;

beforeAll(async () => {
  at = await lab();
  owner = at.owner;
  await owner.sql(`
    CREATE TABLE sample (at timestamptz, id float8, f float8, d date, span interval, raw bytea, period tstzrange, price money,
      list float8[], PRIMARY KEY (at, id));
    SELECT tidemark.journal_table('sample')`);
});
afterAll(() => at.close());

const ROW = `'2024-07-01 12:00:00.5+00', 0.1::float8 + 0.2, 1.0::float8 / 3, '2024-02-01', '1 year -2 days 03:00', '\\x00ff',
  '[2024-01-02 00:00+00,2024-02-01 00:00+00)', 12.5::numeric::money, ARRAY[0.1::float8 + 0.2]`;
const SETTINGS = [
  'SET extra_float_digits = 0',
  'SET extra_float_digits = -15',
  "SET DateStyle = 'German'",
  "SET DateStyle = 'SQL, DMY'",
  "SET TimeZone = 'Pacific/Chatham'",
  "SET IntervalStyle = 'sql_standard'",
  "SET IntervalStyle = 'iso_8601'",
  "SET bytea_output = 'escape'",
  'SET search_path = pg_temp',
  "SET lc_messages = 'C'",
  'SET quote_all_identifiers = on',
  'SET enable_indexscan = off',
  'SET standard_conforming_strings = on',
  'SET row_security = on',
];

const stored = `SELECT string_agg(concat_ws(' ', h.id, h.field, h.value::text), E'\\n' ORDER BY h.field)
  FROM sample_history h WHERE h.tid = (SELECT max(tid) FROM sample_history)`;

describe('the settings of a session do not change what is stored', () => {
  it.each(SETTINGS)('%s', async (setting) => {
    await owner.sql('DELETE FROM sample');
    await owner.sql(`INSERT INTO sample SELECT ${ROW}`);
    const plain = await owner.value(stored);
    const other = await at.session();
    await other.sql(`DELETE FROM sample`);
    await other.sql(setting);
    await other.sql(`INSERT INTO public.sample SELECT '2024-07-01T12:00:00.5Z', 0.1::float8 + 0.2, 1.0::float8 / 3,
      make_date(2024, 2, 1), make_interval(years => 1, days => -2, hours => 3), decode('00ff', 'hex'),
      tstzrange('2024-01-02T00:00:00Z', '2024-02-01T00:00:00Z'), 12.5::numeric::money, ARRAY[0.1::float8 + 0.2]`);
    expect(await owner.value(stored)).toBe(plain);
    await other.sql(`UPDATE public.sample SET f = 2.0::float8 / 3, period = tstzrange('2024-01-02T00:00:00Z', NULL)`);
    await other.sql(`UPDATE public.sample SET id = 0.1`);
    expect(await other.sql(`SELECT * FROM tidemark.drift('sample')`)).toEqual([]);
    await expectTrueJournal(owner, 'sample');
  });

  it('a temporary table named like a transition table, first in the search path, is not read', async () => {
    const other = await at.session();
    await other.sql(`CREATE TEMP TABLE new_rows AS SELECT 1 AS id; CREATE TEMP TABLE old_rows AS SELECT 1 AS id;
      CREATE TEMP TABLE d AS SELECT 1 AS id; SET search_path = pg_temp`);
    await other.sql(`DELETE FROM public.sample`);
    await other.sql(`INSERT INTO public.sample SELECT ${ROW}`);
    await other.sql(`UPDATE public.sample SET f = 5`);
    await expectTrueJournal(owner, 'sample');
  });

  it('an operator, a cast or a function of the user’s schema does not stand in for the system’s', async () => {
    const other = await at.session();
    await other.sql(`CREATE SCHEMA trap;
      CREATE FUNCTION trap.equal(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
      CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.equal);
      CREATE FUNCTION trap.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS 'SELECT ''"trapped"''::jsonb';
      CREATE FUNCTION trap.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS 'SELECT ''trapped''';
      SET search_path = trap, pg_catalog, public`);
    await other.sql(`DELETE FROM public.sample`);
    await other.sql(`INSERT INTO public.sample SELECT ${ROW}`);
    await other.sql(`UPDATE public.sample SET f = 6`);
    expect(await owner.sql(`SELECT * FROM sample_history WHERE value::text LIKE '%trapped%'`)).toEqual([]);
    await expectTrueJournal(owner, 'sample');
  });
});
