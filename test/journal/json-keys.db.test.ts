import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import {
  changesOf,
  defineResource,
  gatherJsonKeys,
  readEntries,
  rowAsOf,
  rowsAsOf,
  withOldValues,
} from '#libs/journal';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

const form = defineResource({ name: 'form', jsonKeys: ['custom'] });
let test: TestDatabase;
let database: Database;
let owner: Database;

beforeAll(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl, poolSize: 1 });
  database = Database.open({ url: test.url });
  await owner.query(`CREATE TABLE form (id int PRIMARY KEY, n int, custom jsonb NOT NULL DEFAULT '{}');
    SELECT tidemark.journal_table('form', row_version => true);
    INSERT INTO form VALUES (1, 1, '{"a":1,"b.c":{"d":null},"__proto__":1}')`);
});

afterAll(async () => {
  await database.close();
  await owner.close();
  await test.drop();
});

async function change(sql: string): Promise<number> {
  await owner.query(sql);
  const { rows } = await owner.query<{ tid: number }>('SELECT max(tid) AS tid FROM form_journal');
  return Number(rows[0]?.tid);
}

/** The object as of a tid, as JSON: JSON.stringify shows a key called __proto__, which toEqual does not. */
async function customAsOf(tid: number): Promise<string> {
  const row = await rowAsOf(database, 'form', '1', tid);
  const rows = await rowsAsOf(database, 'form', tid, { limit: 10 });
  expect(rows.map(({ values }) => values)).toEqual([row?.values]);
  return JSON.stringify(gatherJsonKeys(form, row?.values ?? {})['custom']);
}

describe('keys that are journaled one by one', () => {
  it('come back as one object, as of any tid, also from before they were journaled so', async () => {
    const whole = await change('UPDATE form SET n = 2');
    const keyed = await change(`SELECT tidemark.journal_table('form', json_keys => '{custom}')`);
    const more = await change(
      `UPDATE form SET custom = '{"a":null,"b.c":{"d":1},"big":12345678901234567890,"__proto__":{"x":1}}'`,
    );
    const none = await change(`UPDATE form SET custom = '{}'`);
    expect(await customAsOf(whole)).toBe('{"a":1,"b.c":{"d":null},"__proto__":1}');
    expect(JSON.parse(await customAsOf(keyed))).toEqual(JSON.parse(await customAsOf(whole)));
    expect(JSON.parse(await customAsOf(more))).toEqual(
      JSON.parse('{"a":null,"b.c":{"d":1},"big":"12345678901234567890","__proto__":{"x":1}}'),
    );
    expect(await customAsOf(none)).toBe('{}');
    expect(gatherJsonKeys(form, { id: 1 })).toEqual({ id: 1, custom: {} });
  });

  it('have old and new values', async () => {
    const tid = await change(`UPDATE form SET custom = '{"a":1,"b":2}'`);
    await change(`UPDATE form SET custom = '{"b":null,"c":3}'`);
    await change('DELETE FROM form');
    const fields = (await changesOf(database, 'form', '1', { limit: 2 })).map((change) => change.fields);
    expect(fields).toEqual([
      {
        id: { old: 1, new: null },
        n: { old: 2, new: null },
        'custom.b': { old: null, new: null },
        'custom.c': { old: 3, new: null },
      },
      { 'custom.a': { old: 1, new: null }, 'custom.b': { old: 2, new: null }, 'custom.c': { old: null, new: 3 } },
    ]);
    const entries = await readEntries(database, { after: { tid: tid - 1 }, limit: 2 });
    expect((await withOldValues(database, entries)).map((change) => Object.keys(change.fields).sort())).toEqual([
      ['custom.a', 'custom.b'],
      ['custom.a', 'custom.b', 'custom.c'],
    ]);
  });

  it('are left alone in the values of a resource without any', () => {
    const values = { custom: 1, 'custom.a': 2 };
    expect(gatherJsonKeys(defineResource({ name: 'plain' }), values)).toBe(values);
  });
});
