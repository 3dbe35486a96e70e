import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { changesOf, defineResource } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import { type Boxes, boxes, item } from '../projection/boxes.ts';
import { pastTriggers } from '../support/past-triggers.ts';
import { found, OPERATOR, repaired } from './damage.ts';

let all: Boxes;
let kernel: Kernel;
beforeAll(async () => {
  all = await boxes();
  await all.owner.query(`
    CREATE TABLE pair (a text, b int, v interval, custom jsonb NOT NULL DEFAULT '{}', PRIMARY KEY (a, b));
    SELECT tidemark.journal_table('pair', json_keys => ARRAY['custom']);
    GRANT SELECT, INSERT, UPDATE, DELETE ON pair TO tidemark_app;
    INSERT INTO item SELECT n, n % 3, n FROM generate_series(1, 8) n;
    INSERT INTO pair SELECT 'a%"' || n, n, '1 day -02:00', '{"k": 1, "z": null}' FROM generate_series(1, 5) n;`);
  kernel = all.kernel([item, defineResource({ name: 'pair', key: ['a', 'b'], versioned: false })]);
});
afterAll(() => all.close());

const clean = () => found(kernel, {});

describe('a row that was changed past the triggers', () => {
  it('is found, field by field, and repaired as the journal has it', async () => {
    expect(await clean()).toEqual([]);
    await pastTriggers(all, 'UPDATE item SET n = 77, box_id = NULL WHERE id = 5');
    const expected = [
      ['drift', 'item', '5', 'box_id', 'wrong', 2, null],
      ['drift', 'item', '5', 'n', 'wrong', 5, 77],
    ];
    expect(await found(kernel)).toEqual(expected);
    expect(await found(kernel, { resource: 'item' })).toEqual(expected);
    expect(await found(kernel, { resource: 'box' })).toEqual([]);
    const plan = "drift 5 n wrong: writes the journal's value into the row";
    expect(await repaired(kernel, { resource: 'item' }, { accept: 'journal', apply: false })).toContain(
      `${plan}: planned`,
    );
    expect(await found(kernel)).toEqual(expected);
    expect(await repaired(kernel, { resource: 'item' }, { accept: 'journal' })).toContain(`${plan}: done`);
    expect(await clean()).toEqual([]);
    expect(await all.rows('(SELECT n, box_id FROM item WHERE id = 5)')).toEqual([{ n: 5, box_id: 2 }]);
    const [last] = await changesOf(all.app, 'item', '5', { limit: 1 });
    expect(last).toMatchObject({ author: 'ann', comment: OPERATOR.comment, change: 'MODIFY' });
    expect(await repaired(kernel, { resource: 'item' }, { accept: 'journal' })).toEqual([]);
  });

  it('is repaired by journaling it as it is', async () => {
    await pastTriggers(all, 'UPDATE item SET n = 78, box_id = NULL WHERE id = 5');
    expect(await repaired(kernel, { resource: 'item', id: '5' }, { accept: 'model' })).toEqual([
      "drift 5 box_id wrong: journals the table's value: done",
      "drift 5 n wrong: journals the table's value: done",
    ]);
    expect(await clean()).toEqual([]);
    const [last] = await changesOf(all.app, 'item', '5', { limit: 1 });
    expect(last).toMatchObject({ author: 'ann', comment: OPERATOR.comment, change: 'MODIFY' });
    expect(last?.fields).toEqual({ n: { old: 5, new: 78 }, box_id: { old: 2, new: null } });
    expect(await repaired(kernel, { resource: 'item', id: '5' }, { accept: 'model' })).toEqual([]);
  });

  it('may have a composite key, an interval and JSON keys', async () => {
    const damage = `UPDATE pair SET v = '3 days', custom = '{"k": 2, "new": [1]}' WHERE b = 3`;
    const id = '["a%\\"3",3]';
    for (const accept of ['journal', 'model'] as const) {
      await pastTriggers(all, damage);
      expect(await found(kernel)).toEqual([
        ['drift', 'pair', id, 'custom.k', 'wrong', 1, 2],
        ['drift', 'pair', id, 'custom.new', 'wrong', null, [1]],
        ['drift', 'pair', id, 'custom.z', 'wrong', null, null],
        ['drift', 'pair', id, 'v', 'wrong', '1 day -02:00:00', '3 days'],
      ]);
      expect(await repaired(kernel, { resource: 'pair', id }, { accept })).toHaveLength(4);
      expect(await clean()).toEqual([]);
    }
  });
});

describe.each(['journal', 'model'] as const)('with the %s believed', (accept) => {
  it('a row that was deleted past the triggers is made again, or its end is journaled', async () => {
    await pastTriggers(all, `DELETE FROM item WHERE id = 7`, `DELETE FROM pair WHERE b = 2`);
    expect(await found(kernel)).toEqual([
      ['drift', 'item', '7', null, 'missing', { id: 7, box_id: 1, n: 7 }, null],
      [
        ...['drift', 'pair', '["a%\\"2",2]', null, 'missing'],
        { a: 'a%"2', b: 2, v: '1 day -02:00:00', 'custom.k': 1, 'custom.z': null },
        null,
      ],
    ]);
    const does = { journal: 'makes the row again, as the journal has it', model: 'journals that the row is deleted' };
    expect(await repaired(kernel, { resource: 'item' }, { accept })).toEqual([
      `drift 7  missing: ${does[accept]}: done`,
    ]);
    await repaired(kernel, { resource: 'pair' }, { accept });
    expect(await clean()).toEqual([]);
    expect(await all.rows('(SELECT n FROM item WHERE id = 7)')).toEqual(accept === 'journal' ? [{ n: 7 }] : []);
  });

  it('a row that was inserted past the triggers is deleted, or journaled', async () => {
    await pastTriggers(all, `INSERT INTO item VALUES (99, NULL, 9)`);
    expect(await found(kernel)).toEqual([['drift', 'item', '99', null, 'extra', null, { id: 99, n: 9 }]]);
    const does = { journal: 'deletes the row', model: 'journals the row as it is' };
    expect(await repaired(kernel, { resource: 'item' }, { accept })).toEqual([
      `drift 99  extra: ${does[accept]}: done`,
    ]);
    expect(await clean()).toEqual([]);
    expect(await all.rows('(SELECT n FROM item WHERE id = 99)')).toEqual(accept === 'model' ? [{ n: 9 }] : []);
  });
});

describe('a journal that was written to', () => {
  it('a lost value of a change shows as drift', async () => {
    await all.owner.query('INSERT INTO item VALUES (30, 1, 1); UPDATE item SET n = 2 WHERE id = 30');
    await all.owner.query('UPDATE item SET n = 3, box_id = 2 WHERE id = 30');
    await all.owner.query(
      `DELETE FROM item_history WHERE id = '30' AND field = 'n' AND tid = (SELECT max(tid) FROM item_journal WHERE id = '30')`,
    );
    expect(await found(kernel)).toEqual([['drift', 'item', '30', 'n', 'wrong', 2, 3]]);
    await repaired(kernel, { resource: 'item', id: '30' }, { accept: 'model' });
    expect(await clean()).toEqual([]);
  });

  it.each([
    [31, 'all values of a change', 'item_history', 'no_history', 'values', 'MODIFY', /the values of the change/],
    [32, 'an entry', 'item_journal', 'no_journal', 'an entry', ['n'], /who made the change/],
  ])('%i: %s that is lost is named, not made up, and accepted with a reason', async (...given) => {
    const [id, , table, kind, expected, actual, lost] = given;
    await all.owner.query(`INSERT INTO item VALUES (${id}, 1, 1); UPDATE item SET n = 2 WHERE id = ${id}`);
    await all.owner.query(`UPDATE item SET n = 3 WHERE id = ${id}`);
    const { rows } = await all.owner.query<{ tid: number }>(
      `DELETE FROM ${table} WHERE id = '${id}' AND tid = (
         SELECT tid FROM item_journal WHERE id = '${id}' AND change = 'MODIFY' ORDER BY tid LIMIT 1) RETURNING tid`,
    );
    expect(rows).toHaveLength(1);
    expect(await found(kernel)).toEqual([['journal', 'item', `${id}`, null, kind, expected, actual]]);
    const [refused] = await repaired(kernel, { resource: 'item' }, { accept: 'journal' });
    expect(refused).toMatch(lost);
    expect(refused).toMatch(/history is never invented.*: refused$/);
    expect(await found(kernel)).toHaveLength(1);
    expect(await repaired(kernel, { resource: 'item' }, { accept: 'model' })).toEqual([
      `journal ${id}  ${kind}: accepts it: the journal stays as it is: done`,
    ]);
    expect(await clean()).toEqual([]);
    const { rows: kept } = await all.app.query(
      `SELECT state, resolved_by, reason, since_tid FROM tidemark.finding WHERE kind = $1`,
      [kind],
    );
    expect(kept).toEqual([
      { state: 'accepted', resolved_by: 'ann', reason: OPERATOR.comment, since_tid: rows[0]?.tid },
    ]);
  });

  it('values at a DELETE are named, and cannot be removed', async () => {
    await all.owner.query('DELETE FROM item WHERE id = 30');
    await all.owner.query(
      `INSERT INTO item_history SELECT 'item', max(tid), '30', 'n', '5' FROM item_journal WHERE id = '30'`,
    );
    expect(await found(kernel)).toEqual([['journal', 'item', '30', null, 'extra_history', null, ['n']]]);
    expect((await repaired(kernel, { resource: 'item' }, { accept: 'journal' }))[0]).toMatch(
      /only ever added to.*refused/,
    );
    await repaired(kernel, { resource: 'item' }, { accept: 'model' });
    expect(await clean()).toEqual([]);
  });

  it('a lost CREATE shows as a row too many, and a lost DELETE as one that is missing', async () => {
    await all.owner.query('DELETE FROM item WHERE id = 1');
    await pastTriggers(
      all,
      `DELETE FROM item_journal WHERE id = '2'; DELETE FROM item_history WHERE id = '2'`,
      `DELETE FROM item_journal WHERE id = '1' AND change = 'DELETE'`,
    );
    expect((await found(kernel)).map((one) => one.slice(0, 5))).toEqual([
      ['drift', 'item', '2', null, 'extra'],
      ['drift', 'item', '1', null, 'missing'],
    ]);
    await repaired(kernel, { resource: 'item' }, { accept: 'model' });
    expect(await clean()).toEqual([]);
  });
});
