import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { changes, expectTrueJournal, head, type Lab, lab, type Session, written } from './journaled.ts';

let at: Lab;
let owner: Session;
let before: number;

beforeAll(async () => {
  at = await lab();
  owner = at.owner;
  await owner.sql(`
    CREATE TABLE par (id integer PRIMARY KEY, name text);
    CREATE TABLE item (id integer PRIMARY KEY, p integer DEFAULT 1 REFERENCES par ON DELETE SET NULL ON UPDATE CASCADE,
      q integer REFERENCES par ON DELETE SET NULL, n integer, "we.ird ""%s" jsonb NOT NULL DEFAULT '{}', custom jsonb NOT NULL DEFAULT '{}');
    INSERT INTO par VALUES (0), (1), (2);
    SELECT tidemark.journal_table('par');
    SELECT tidemark.journal_table('item', row_version => true, json_keys => ARRAY['custom', 'we.ird "%s'])`);
});
beforeEach(async () => {
  await owner.sql('DELETE FROM item; INSERT INTO par VALUES (0), (1), (2) ON CONFLICT DO NOTHING');
  before = await head(owner);
});
afterAll(() => at.close());

/** What each change since `before` set, without the columns that every CREATE has. */
async function set(): Promise<unknown[]> {
  return (await written(owner, 'item', before)).map(({ change, fields: { id: _id, p: _p, ...fields } }) => [
    change,
    fields,
  ]);
}

describe('the keys of a jsonb column are fields of their own', () => {
  it('added, changed, removed, added again: one history row for each key that differs', async () => {
    await owner.sql(`INSERT INTO item (id, custom) VALUES (1, '{"a":1,"b":{"c":[1,2]},"gone":null}')`);
    for (const custom of ['{"gone":null,"b":{"c":[1,2]},"a":2}', '{"b":{"c":[2,1]},"a":2}', '{}', '{"a":2,"a2":null}'])
      await owner.sql('UPDATE item SET custom = $1', [custom]);
    expect(await set()).toEqual([
      ['CREATE', { 'custom.a': 1, 'custom.b': { c: [1, 2] }, 'custom.gone': null }],
      ['MODIFY', { 'custom.a': 2 }],
      ['MODIFY', { 'custom.b': { c: [2, 1] }, 'custom.gone': null }],
      ['MODIFY', { 'custom.a': null, 'custom.b': null }],
      ['MODIFY', { 'custom.a': 2, 'custom.a2': null }],
    ]);
    const nulls = `SELECT field, value IS NULL AS gone FROM item_history WHERE tid > $1 AND coalesce(value, 'null') = 'null' ORDER BY tid, field`;
    expect(await owner.sql(nulls, [before])).toEqual([
      { field: 'custom.gone', gone: false },
      { field: 'custom.gone', gone: true },
      { field: 'custom.a', gone: true },
      { field: 'custom.b', gone: true },
      { field: 'custom.a2', gone: false },
    ]);
    await expectTrueJournal(owner, 'item');
  });

  it('an empty object has no history row, and an update to the same object is no change', async () => {
    await owner.sql(`INSERT INTO item (id) VALUES (1); UPDATE item SET custom = '{}'`);
    expect(await set()).toEqual([['CREATE', {}]]);
    await owner.sql(`UPDATE item SET custom = '{"a":1,"bb":2}'; UPDATE item SET custom = '{"bb":2,"a":1}'`);
    expect(await changes(owner, 'item', before)).toEqual(['CREATE 1', 'MODIFY 1']);
    await expectTrueJournal(owner, 'item');
  });

  it('keys and values of every kind', async () => {
    const keys = [
      '',
      '.',
      'a.b',
      '..',
      '"',
      '\\',
      "'",
      '%s',
      '%1$L',
      '{}',
      '__proto__',
      'constructor',
      'custom',
      'é日本😀\u2028',
      ' ',
      '\t\n',
    ];
    const values = [
      'null',
      '""',
      '1.0',
      '1.00',
      '-0',
      '1e400',
      '123456789012345678901234567890.000',
      '[]',
      '{}',
      '{"":{"":[]}}',
      'false',
      '"a\\"\\\\\\u2028"',
    ];
    for (const [n, value] of values.entries()) {
      const custom = `{${keys.map((key, k) => `${JSON.stringify(key)}:${k % 2 ? value : values.at(-n)}`).join(',')}}`;
      await owner.sql(
        `INSERT INTO item (id, custom, "we.ird ""%s") VALUES (1, $1, $1) ON CONFLICT (id) DO UPDATE SET custom = $1, "we.ird ""%s" = excluded.custom`,
        [custom],
      );
      await expectTrueJournal(owner, 'item');
    }
    const fields = await owner.sql(`SELECT DISTINCT field FROM item_history WHERE tid > $1 AND field LIKE 'custom.%'`, [
      before,
    ]);
    expect(fields.map(({ field }) => field).sort()).toEqual(keys.map((key) => `custom.${key}`).sort());
    await owner.sql(`UPDATE item SET custom = '{"n": 1.0}'; UPDATE item SET custom = '{"n": 1.00}'`);
    expect((await changes(owner, 'item', before)).slice(-2)).toEqual(['MODIFY 1', 'MODIFY 1']);
    await expectTrueJournal(owner, 'item');
  });

  it('a value of a megabyte, two thousand keys, a key that no index can hold', async () => {
    await owner.sql(`INSERT INTO item (id, custom) VALUES (1, jsonb_build_object('big', repeat('x', 1000000), 'small', 1)),
      (2, (SELECT jsonb_object_agg('key ' || g, g) FROM generate_series(1, 2000) g))`);
    before = await head(owner);
    await owner.sql(
      `UPDATE item SET custom = custom || '{"small": 2}' WHERE id = 1; UPDATE item SET custom = custom - 'key 7' WHERE id = 2`,
    );
    expect(await set()).toEqual([
      ['MODIFY', { 'custom.small': 2 }],
      ['MODIFY', { 'custom.key 7': null }],
    ]);
    const long = `UPDATE item SET custom = jsonb_build_object((SELECT string_agg(md5(g::text), '') FROM generate_series(1, 400) g), 1)`;
    expect(await owner.refusal(long)).toMatch(/^54000 index row/);
    await expectTrueJournal(owner, 'item');
  });
});

describe('fold and row agree, whatever writes the column', () => {
  const name = fc.constantFrom('a', 'b', 'a.b', '', '__proto__', 'ü');
  const value = fc.constantFrom('null', '1', '1.0', '"x"', '{"a":1}', '{"a":1.0}', '[null]');
  const json = fc.dictionary(name, value, { maxKeys: 4 }).map((object) => {
    const entries = Object.entries(object).map(([key, text]) => `${JSON.stringify(key)}:${text}`);
    return `'{${entries.join(',')}}'::jsonb`;
  });
  const id = fc.integer({ min: 1, max: 5 });
  const row = fc.tuple(id, json, json);
  const key = name.map((text) => `'${text}'`);
  const statement = fc.oneof(
    row.map(
      ([n, a, b]) =>
        `INSERT INTO item (id, custom, "we.ird ""%s") VALUES (${n}, ${a}, ${b}) ON CONFLICT (id) DO UPDATE SET custom = excluded.custom`,
    ),
    row.map(
      ([n, a, b]) => `INSERT INTO item (id, custom, "we.ird ""%s") VALUES (${n}, ${a}, ${b}) ON CONFLICT DO NOTHING`,
    ),
    row.map(([n, a, b]) => `UPDATE item SET custom = ${a}, "we.ird ""%s" = ${b} WHERE id >= ${n}`),
    row.map(([n, a]) => `UPDATE item SET custom = custom || ${a} WHERE id = ${n}`),
    fc.tuple(id, key).map(([n, k]) => `UPDATE item SET custom = custom - ${k} WHERE id <> ${n}`),
    fc
      .tuple(id, key)
      .map(([n, k]) => `UPDATE item SET custom = "we.ird ""%s", "we.ird ""%s" = custom - ${k} WHERE id = ${n}`),
    row.map(([n, a]) => `UPDATE item SET id = id + 10, custom = ${a} WHERE id = ${n}`),
    fc.constant(
      'UPDATE item SET id = id - 10 WHERE id > 10 AND NOT EXISTS (SELECT FROM item i WHERE i.id = item.id - 10)',
    ),
    row.map(
      ([n, a, b]) => `MERGE INTO item i USING (VALUES (${n}), (${n} % 5 + 1)) v(id) ON v.id = i.id
      WHEN MATCHED AND i.n IS NULL THEN UPDATE SET custom = ${a}, n = 1 WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, custom) VALUES (v.id, ${b})`,
    ),
    row.map(
      ([
        n,
        a,
        b,
      ]) => `WITH gone AS (DELETE FROM item WHERE id = ${n} RETURNING id), u AS (UPDATE item SET custom = ${a} WHERE id <> ${n})
      INSERT INTO item (id, custom) SELECT id + 20, ${b} FROM gone ON CONFLICT DO NOTHING`,
    ),
    fc.constant('UPDATE par SET id = 3 - id WHERE false; UPDATE item SET p = 1, q = 2'),
    fc.constant('DELETE FROM par WHERE id IN (1, 2); INSERT INTO par VALUES (1), (2)'),
    id.map((n) => `DELETE FROM item WHERE id = ${n}`),
  );
  const transactions = fc.array(fc.tuple(fc.array(statement, { minLength: 1, maxLength: 4 }), fc.boolean()), {
    minLength: 1,
    maxLength: 8,
  });

  /** A key that is there already, or met twice, ends the transaction: its changes are not journaled either. */
  async function run(sql: string): Promise<void> {
    const error = await owner.sql(sql).then(
      () => undefined,
      (thrown: { code: string }) => thrown,
    );
    if (error !== undefined) await owner.sql('ROLLBACK');
    expect([undefined, '23505', '21000', '23503']).toContain(error?.code);
    ran[error === undefined ? 'through' : 'refused']++;
  }
  const ran = { through: 0, refused: 0 };

  it('random statements, alone and several in one transaction, some rolled back', async () => {
    await fc.assert(
      fc.asyncProperty(transactions, async (all) => {
        for (const [statements, commits] of all) {
          const alone = statements.length === 1 && commits;
          await run(
            alone ? String(statements[0]) : `BEGIN; ${statements.join('; ')}; ${commits ? 'COMMIT' : 'ROLLBACK'}`,
          );
        }
        await expectTrueJournal(owner, 'item');
      }),
      { numRuns: process.env['TIDEMARK_TEST_LONG'] ? 1_000 : 60 },
    );
    expect(ran.through).toBeGreaterThan(ran.refused);
  });

  it('a trigger that rewrites the column, and two cascades that hit the row of one statement', async () => {
    await owner.sql(`CREATE FUNCTION rewrite() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF new.custom ? 'count' THEN RETURN NULL; END IF;
        UPDATE item SET custom = (new.custom - 'a') || '{"count": 1}' WHERE id = new.id; RETURN NULL; END $$;
      CREATE TRIGGER rewrite AFTER INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION rewrite()`);
    await owner.sql(`INSERT INTO item (id, p, q, custom) VALUES (101, 1, 1, '{"a":1,"b":1}'), (102, 1, 2, '{}')`);
    await expectTrueJournal(owner, 'item');
    await owner.sql(`UPDATE item SET custom = '{"a":3}'`);
    await owner.sql(`BEGIN; DELETE FROM par WHERE id = 1; UPDATE item SET custom = '{"b":4}' WHERE id = 101; COMMIT`);
    await owner.sql('DROP TRIGGER rewrite ON item');
    expect(await owner.value(`SELECT custom::text FROM item WHERE id = 101`)).toBe('{"b": 4, "count": 1}');
    await expectTrueJournal(owner, 'item');
  });

  it('eight sessions on the same rows', async () => {
    await owner.sql(`INSERT INTO item (id) SELECT generate_series(1, 5)`);
    const sessions = await Promise.all(Array.from({ length: 8 }, () => at.session()));
    await Promise.all(
      sessions.map(async (session, s) => {
        for (let round = 0; round < 60; round++)
          await session.sql(
            `UPDATE item SET custom = (custom || jsonb_build_object('k${round % 3}', ${s * round})) - 'k${(round + s) % 4}' WHERE id = ${1 + (round % 5)}`,
          );
      }),
    );
    await expectTrueJournal(owner, 'item');
  });

  it('a bulk update after one-row updates of the same session is not quadratic', async () => {
    await owner.sql(
      `INSERT INTO item (id, custom) SELECT g, jsonb_build_object('a', g, 'b', 'x') FROM generate_series(1, 20000) g`,
    );
    for (let id = 1; id <= 8; id++) await owner.sql(`UPDATE item SET custom = '{"a":0,"c":1}' WHERE id = ${id}`);
    const started = performance.now();
    await owner.sql(`UPDATE item SET custom = custom || '{"c":2}'`);
    expect(performance.now() - started).toBeLessThan(15_000);
    await expectTrueJournal(owner, 'item');
  });
});
