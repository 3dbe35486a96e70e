import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { highestTid } from '#libs/dispatch';
import type { Check } from '#libs/integrity';
import type { Writer } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import { storedProjections } from '#libs/projection';
import { repair } from '../../libs/integrity/repair.ts';
import { type Boxes, box, boxes, contents, item, moves } from '../projection/boxes.ts';
import { pastTriggers } from '../support/past-triggers.ts';
import { found, OPERATOR, repaired } from './damage.ts';

let all: Boxes;
/** Follows nothing by itself, so that damage stays as it is. */
let kernel: Kernel;
beforeEach(async () => {
  all = await boxes();
  kernel = all.kernel([box, item], { projections: [contents, moves] });
  await all.owner.query(`
    INSERT INTO box SELECT n, 'c' || n FROM generate_series(1, 4) n;
    INSERT INTO item SELECT n, 1 + n % 4, n FROM generate_series(1, 20) n`);
  const follower = await all.start();
  await follower.waitFor(await highestTid(all.app), { projections: ['box_contents', 'item_moves'] });
  await follower.stop();
});
afterEach(() => all.close());

const checkpoint = async (name: string) =>
  (await storedProjections(all.app)).find((stored) => stored.name === name)?.tid as number;

describe('a keyed projection', () => {
  it('with rows that are missing, extra and wrong is found by its rows, and its keys are computed anew', async () => {
    expect(await found(kernel)).toEqual([]);
    await all.owner.query(`DELETE FROM box_contents WHERE item_id = 4`);
    await all.owner.query(`UPDATE box_contents SET colour = 'x' WHERE item_id = 5`);
    await all.owner.query(`INSERT INTO box_contents VALUES (9, 9, 'y', 9)`);
    const damage = [
      [
        ...['projection', 'box_contents', '[1,4]', null, 'missing'],
        { box_id: 1, item_id: 4, colour: 'c1', n: 4 },
        null,
      ],
      ['projection', 'box_contents', '[2,5]', 'colour', 'wrong', 'c2', 'x'],
      [...['projection', 'box_contents', '[9,9]', null, 'extra', null], { box_id: 9, item_id: 9, colour: 'y', n: 9 }],
    ];
    expect(await found(kernel)).toEqual(damage);
    const planned = await repaired(kernel, { projection: 'box_contents' }, { apply: false });
    expect(planned).toEqual([
      'projection [1,4]  missing: computes its key anew: planned',
      'projection [2,5] colour wrong: computes its key anew: planned',
      'projection [9,9]  extra: computes its key anew: planned',
    ]);
    expect(await found(kernel)).toEqual(damage);
    const done = planned.map((line) => line.replace('planned', 'done'));
    expect(await repaired(kernel, { projection: 'box_contents' })).toEqual(done);
    expect(await found(kernel)).toEqual([]);
    expect(await repaired(kernel, { projection: 'box_contents' })).toEqual([]);
    const { rows } = await all.app.query('SELECT DISTINCT state, resolved_by, reason FROM tidemark.finding');
    expect(rows).toEqual([{ state: 'resolved', resolved_by: 'ann', reason: OPERATOR.comment }]);
  });

  it('that is behind is not damaged', async () => {
    await all.owner.query('UPDATE item SET n = 100, box_id = 3 WHERE id = 4; DELETE FROM item WHERE id = 5');
    expect(await found(kernel, { projection: 'box_contents' })).toEqual([]);
    await all.owner.query(`DELETE FROM box_contents WHERE item_id = 6`);
    // its key waits for a change of another item
    expect(await found(kernel, { projection: 'box_contents' })).toEqual([]);
    const follower = await all.start();
    await follower.waitFor(await highestTid(all.app), { projections: ['box_contents'] });
    expect(await found(kernel)).toEqual([]);
  });
});

describe('a checkpoint', () => {
  it.each(['box_contents', 'item_moves'])(
    'of %s that is set back is found, and the projection made anew',
    async (name) => {
      const tid = await checkpoint(name);
      await all.owner.query('UPDATE tidemark.projections SET tid = 2 WHERE name = $1', [name]);
      const check = name === 'box_contents' ? 'projection' : 'rebuilt';
      const [first] = await found(kernel);
      expect(first).toEqual([check, name, '', 'tid', 'wrong', tid, 2]);
      const lines = await repaired(kernel, { projection: name });
      expect(lines).toContain(`${check}  tid wrong: makes the projection anew, and swaps it: done`);
      expect(lines.filter((line) => !line.endsWith(': done'))).toEqual([]);
      expect(await found(kernel)).toEqual([]);
      expect(await checkpoint(name)).toBeGreaterThanOrEqual(tid);
    },
  );

  it.each(['box_contents', 'item_moves'])(
    'of %s that is ahead of the journal is found and taken back',
    async (name) => {
      await all.owner.query('UPDATE tidemark.projections SET tid = tid + 1000 WHERE name = $1', [name]);
      const head = await highestTid(all.app);
      const [first] = await found(kernel);
      expect(first?.slice(1, 6)).toEqual([name, '', 'tid', 'wrong', head]);
      await repaired(kernel, { projection: name });
      expect(await found(kernel)).toEqual([]);
      await all.owner.query('UPDATE item SET box_id = 1');
      const follower = await all.start();
      await follower.waitFor(await highestTid(all.app), { projections: [name] });
      expect(await found(kernel)).toEqual([]);
    },
  );

  it.each(['box_contents', 'item_moves'])('of %s that was set forward shows by the rows', async (name) => {
    await all.owner.query('UPDATE item SET box_id = 2 WHERE id = 4');
    const tid = await highestTid(all.app);
    await all.owner.query('UPDATE tidemark.projections SET tid = $2 WHERE name = $1', [name, tid]);
    const lines = await found(kernel, { projection: name });
    expect(lines.map((line) => line.slice(2, 5))).toEqual(
      name === 'box_contents'
        ? [
            ['[1,4]', null, 'extra'],
            ['[2,4]', null, 'missing'],
          ]
        : [
            ['4', 'last', 'wrong'],
            ['4', 'moves', 'wrong'],
          ],
    );
    await repaired(kernel, { projection: name });
    expect(await found(kernel)).toEqual([]);
  });
});

describe('a fold', () => {
  it('with rows that are missing, extra and wrong is compared with its journal, and made anew', async () => {
    await all.owner.query(`DELETE FROM item_moves WHERE item_id = 4`);
    await all.owner.query(`UPDATE item_moves SET moves = 7 WHERE item_id = 5`);
    await all.owner.query(`INSERT INTO item_moves VALUES (77, 1, 1)`);
    const damage = (await found(kernel)).map((line) => line.slice(0, 6));
    expect(damage).toEqual([
      ['rebuilt', 'item_moves', '4', null, 'missing', { item_id: 4, moves: 1, last: expect.any(Number) }],
      ['rebuilt', 'item_moves', '5', 'moves', 'wrong', 1],
      ['rebuilt', 'item_moves', '77', null, 'extra', null],
    ]);
    expect(await repaired(kernel, { projection: 'item_moves' })).toEqual([
      'rebuilt 4  missing: makes the projection anew, and swaps it: done',
      'rebuilt 5 moves wrong: makes the projection anew, and swaps it: done',
      'rebuilt 77  extra: makes the projection anew, and swaps it: done',
    ]);
    expect(await found(kernel)).toEqual([]);
  });

  it('that cannot be looked at again is not said to be mended', async () => {
    await all.owner.query('DELETE FROM item_moves WHERE item_id = 4');
    const [check] = await kernel.integrity.checks({ projection: 'item_moves' });
    let looks = 0;
    const busy: Check = {
      ...(check as Check),
      async find(look) {
        looks += 1;
        if (looks > 1) return { found: [], rows: 0, next: null, skipped: 'it is being made anew' };
        return (check as Check).find(look);
      },
    };
    const tools = { database: all.app, writer: kernel as Writer, atomic: kernel.atomic.bind(kernel) };
    const sum = await repair(tools, { checks: [busy] }, { actor: OPERATOR, apply: true });
    expect([sum, looks]).toEqual([{ differences: 1, done: 0, refused: 0, left: 1 }, 2]);
    const { rows } = await all.owner.query('SELECT state FROM tidemark.finding');
    expect(rows).toEqual([{ state: 'open' }]);
  });

  it('of another version is left alone', async () => {
    const newer = all.kernel([box, item], {
      projections: [
        { ...contents, version: 2 },
        { ...moves, version: 2 },
      ],
    });
    await all.owner.query(`DELETE FROM item_moves WHERE item_id = 4; DELETE FROM box_contents WHERE item_id = 4`);
    const skipped: string[] = [];
    await newer.integrity.verify(
      {},
      { actor: OPERATOR, onSkipped: ({ resource }, why) => void skipped.push(`${resource}: ${why}`) },
    );
    expect(skipped).toEqual([
      'box_contents: it holds the rows of version 1',
      'item_moves: it holds the rows of version 1',
    ]);
    expect((await all.app.query('SELECT FROM tidemark.finding')).rows).toEqual([]);
  });
});

it.each([
  ['box_contents', '[1,4]'],
  ['item_moves', '4'],
])('%s, which has lost its primary key and holds a row twice, is made anew with its key', async (name, id) => {
  await all.owner.query(`ALTER TABLE ${name} DROP CONSTRAINT ${name}_pkey`);
  const check = name === 'box_contents' ? 'projection' : 'rebuilt';
  const of = check === 'projection' ? '' : name;
  const key = check === 'projection' ? ['box_id', 'item_id'] : ['item_id'];
  const lost = [check, name, of, 'primary key', 'missing', key, null];
  expect(await found(kernel)).toEqual([lost]);
  await all.owner.query(`INSERT INTO ${name} SELECT * FROM ${name} WHERE item_id = 4`);
  const [row] = await all.rows(`(SELECT * FROM ${name} WHERE item_id = 4)`);
  expect(await found(kernel)).toEqual([lost, [check, name, id, null, 'duplicate', null, row]]);
  expect(await repaired(kernel, { projection: name })).toEqual([
    `${check} ${of} primary key missing: makes the projection anew, and swaps it: done`,
    `${check} ${id}  duplicate: makes the projection anew, and swaps it: done`,
  ]);
  expect(await found(kernel)).toEqual([]);
  expect(await all.rows(name)).toHaveLength(20);
  await expect(all.owner.query(`INSERT INTO ${name} SELECT * FROM ${name} WHERE item_id = 4`)).rejects.toMatchObject({
    code: '23505',
  });
});

it('damage of rows shows in what is computed of them, and both are repaired', async () => {
  await pastTriggers(all, `UPDATE item SET n = 1000 WHERE id = 4`);
  expect((await found(kernel)).map((line) => line.slice(0, 5))).toEqual([
    ['drift', 'item', '4', 'n', 'wrong'],
    ['projection', 'box_contents', '[1,4]', 'n', 'wrong'],
  ]);
  await repaired(kernel, { resource: 'item' }, { accept: 'journal' });
  const follower = await all.start();
  await follower.waitFor(await highestTid(all.app), { projections: ['box_contents'] });
  expect(await found(kernel)).toEqual([]);
});
