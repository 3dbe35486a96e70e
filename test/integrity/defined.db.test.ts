import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { CheckDefinition } from '#libs/integrity';
import type { Kernel } from '#libs/kernel';
import { type Boxes, box, boxes, item } from '../projection/boxes.ts';
import { pastTriggers } from '../support/past-triggers.ts';
import { found, repaired } from './damage.ts';

/** An item lies in a box that there is. */
const lost: CheckDefinition = {
  ...{ name: 'lost', resource: 'item' },
  async find(db, look) {
    const { rows } = await db.query<{ id: number; box_id: number }>(
      `SELECT id, box_id FROM item WHERE NOT EXISTS (SELECT FROM box WHERE box.id = box_id)
         AND ($1::int[] IS NULL OR id = ANY ($1)) AND id > $2 ORDER BY id LIMIT $3`,
      'places' in look ? [look.places, -1, null] : [null, Number(look.after ?? -1), look.limit],
    );
    const list = rows.map(({ id, box_id }) => ({
      ...{ id: String(id), field: 'box_id', kind: 'lost', expected: 'a box', actual: box_id, since: null },
    }));
    const more = 'limit' in look && rows.length === look.limit;
    return { found: list, rows: rows.length, next: more ? String(rows.at(-1)?.id) : null };
  },
  async repair(writer, actor, violations) {
    await writer.transaction(actor, (tx) => {
      for (const { id } of violations) tx.save(item, Number(id), { box_id: 1 });
    });
  },
};

let all: Boxes;
let kernel: Kernel;
beforeAll(async () => {
  all = await boxes();
  kernel = all.kernel([box, item], { checks: [lost, { name: 'seen', resource: 'shelf', find: async () => NOTHING }] });
  await all.owner.query(
    `INSERT INTO box VALUES (1, 'red'); INSERT INTO item SELECT n, n, n FROM generate_series(1, 8) n`,
  );
});
afterAll(() => all.close());

const NOTHING = { found: [], rows: 0, next: null };

describe('a check of a program', () => {
  it('finds page by page, and repairs as it has said', async () => {
    expect((await found(kernel)).map((line) => line[2])).toEqual(['2', '3', '4', '5', '6', '7', '8']);
    expect(await repaired(kernel, { resource: 'item', id: '2' }, { accept: 'model' })).toEqual([]);
    const { rows } = await all.app.query<{ id: number }>(`SELECT id FROM tidemark.finding WHERE row_id = '3'`);
    const finding = rows[0]?.id as number;
    await expect(repaired(kernel, { finding }, { accept: 'model' })).rejects.toThrow('there is nothing to accept');
    expect(await repaired(kernel, { finding })).toEqual(['lost 3 box_id lost: what lost does about it: done']);
    expect(await repaired(kernel, { finding })).toEqual([]);
    expect(await found(kernel)).toHaveLength(6);
  });

  it('cannot be called like another one', () => {
    expect(() => all.kernel([], { checks: [{ ...lost, name: 'drift' }] })).toThrow('two checks are called drift');
    expect(() => all.kernel([], { checks: [lost, lost] })).toThrow('two checks are called lost');
  });
});

describe('bad input', () => {
  it('is refused with a sentence, and changes nothing', async () => {
    await pastTriggers(all, 'UPDATE item SET n = 99 WHERE id = 8');
    await expect(found(kernel, { resource: 'itme' })).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(/^there is no resource "itme": there is .*item.*shelf$/),
    });
    await expect(found(kernel, { projection: 'x' })).rejects.toMatchObject({
      message: 'there is no projection "x": there is none',
    });
    await expect(repaired(kernel, { finding: 4711 })).rejects.toMatchObject({
      ...{ code: 'not_found', message: 'there is no finding 4711' },
    });
    await expect(repaired(kernel, { resource: 'item', id: '8' })).rejects.toMatchObject({
      ...{ code: 'invalid', message: expect.stringContaining('model or journal') },
    });
    await expect(
      repaired(kernel, { resource: 'item', id: '8' }, { accept: 'model', actor: { author: 'ann', comment: ' ' } }),
    ).rejects.toMatchObject({ code: 'invalid', message: 'a repair needs a reason' });
    expect(await repaired(kernel, { resource: 'item', id: 'no number' }, { accept: 'model' })).toEqual([]);
    expect(await all.rows('(SELECT n FROM item WHERE id = 8)')).toEqual([{ n: 99 }]);
    await repaired(kernel, { resource: 'item', id: '8' }, { accept: 'journal' });
  });

  it('what a rule of the table forbids is named, and nothing of it is done', async () => {
    await all.owner.query(`CREATE UNIQUE INDEX item_n ON item (n)`);
    await pastTriggers(all, 'UPDATE item SET n = 70 WHERE id = 7', 'UPDATE item SET n = 7 WHERE id = 6');
    await all.owner.query('UPDATE item SET n = 6 WHERE id = 5');
    await expect(repaired(kernel, { resource: 'item', id: '6' }, { accept: 'journal' })).rejects.toMatchObject({
      code: 'conflict',
      message: 'item 6 cannot be repaired so: something else already has that n (item_n)',
    });
    expect(await all.rows('(SELECT n FROM item WHERE id = 6)')).toEqual([{ n: 7 }]);
    expect(await repaired(kernel, { resource: 'item', id: '6' }, { accept: 'model' })).toHaveLength(1);
    expect(await repaired(kernel, { resource: 'item', id: '7' }, { accept: 'model' })).toHaveLength(1);
    expect((await found(kernel, { resource: 'item' })).filter(([check]) => check === 'drift')).toEqual([]);
  });

  it('a table that may not be read stops verify, which says so', async () => {
    await all.owner.query('REVOKE SELECT ON box FROM tidemark_app');
    await expect(found(kernel)).rejects.toMatchObject({
      code: 'forbidden',
      message: 'the check drift of box cannot be run: the database does not allow this role to do that',
    });
    await all.owner.query('GRANT SELECT ON box TO tidemark_app');
  });

  it('a row that somebody holds is waited for, and not for ever', async () => {
    await pastTriggers(all, 'UPDATE item SET box_id = NULL WHERE id = 8');
    const holder = await all.app.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM item WHERE id = 8 FOR UPDATE');
    await expect(repaired(kernel, { resource: 'item', id: '8' }, { accept: 'model' })).rejects.toMatchObject({
      ...{ code: 'conflict', message: expect.stringContaining('another change came in between') },
    });
    await holder.query('ROLLBACK');
    holder.release();
    expect(await repaired(kernel, { resource: 'item', id: '8' }, { accept: 'model' })).toHaveLength(1);
  });

  it('what the journal may be told is what is in the table, by whomever', async () => {
    const { rows } = await all.app.query<{ n: number }>(`SELECT tidemark.accept_rows('item', '{1,2,3,no}') AS n`);
    expect(rows).toEqual([{ n: 0 }]);
    await expect(all.app.query(`UPDATE tidemark.finding_history SET value = '1'`)).rejects.toThrow(/permission denied/);
    await expect(all.app.query('DELETE FROM tidemark.finding')).rejects.toThrow(/permission denied/);
  });
});
