import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { sql } from 'kysely';
import { Database, type Queryable } from '#libs/database';
import { highestTid } from '#libs/dispatch';
import { createKernel, type Kernel } from '#libs/kernel';
import { defineProjection, type KeyedProjection } from '#libs/projection';
import { prepare } from '../../libs/projection/advance.ts';
import { box, item, moves } from './boxes.ts';
import { colours, inlineTotals, makeBoxes, type Totals, totals } from './inline-totals.ts';

const joe = { author: 'joe' };
let all: Totals;
let kernel: Kernel;
beforeEach(async () => {
  all = await inlineTotals();
  kernel = await all.start([totals]);
});
afterEach(() => all.close());

const rows = () => all.rows('box_totals');

describe('an inline projection', () => {
  it('shows a change to every connection from its commit on, though nobody follows', async () => {
    await all.standStill();
    await kernel.transaction(joe, (tx) => tx.create(item, { id: 1, box_id: 1, n: 5 }));
    expect(await rows()).toEqual([{ box_id: 1, items: 1, total: 5 }]);
    await kernel.transaction(joe, (tx) => tx.save(item, 1, { n: 7 }));
    expect(await rows()).toEqual([{ box_id: 1, items: 1, total: 7 }]);
  });

  it('is moved from key to key, through several in one transaction, and emptied', async () => {
    await all.standStill();
    await kernel.transaction(joe, (tx) => tx.create(item, { id: 1, box_id: 1, n: 5 }));
    await kernel.transaction(joe, (tx) => tx.create(item, { id: 2, box_id: 1, n: 6 }));
    await kernel.transaction(joe, async (tx) => {
      for (const box_id of [2, 3, 4]) {
        tx.save(item, 1, { box_id });
        await tx.flush();
      }
      tx.delete(item, 2);
    });
    expect(await rows()).toEqual([{ box_id: 4, items: 1, total: 5 }]);
    await kernel.transaction(joe, (tx) => tx.save(item, 1, { box_id: null }));
    expect(await rows()).toEqual([]);
  });

  it('holds nothing of a change that is rolled back', async () => {
    await all.standStill();
    const undone = kernel.transaction(joe, async (tx) => {
      tx.create(item, { id: 1, box_id: 1, n: 5 });
      await tx.flush();
      throw new Error('undone');
    });
    await expect(undone).rejects.toThrow('undone');
    expect(await rows()).toEqual([]);
  });

  it('fails the change that its table refuses, by each way to commit, and leaves nothing of it', async () => {
    await all.standStill();
    await kernel.transaction(joe, (tx) => tx.create(item, { id: 1, box_id: 1, n: 5 }));
    const before = await highestTid(all.app);
    const refused = { code: 'invalid', message: 'the value breaks the rule box_full' };
    const late = kernel.transaction(joe, async (tx) => {
      tx.save(item, 1, { n: 2_000_000 });
      await tx.flush();
    });
    const atomic = kernel.atomic((writer) =>
      writer.transaction(joe, (tx) => tx.create(item, { id: 2, box_id: 1, n: 1e6 })),
    );
    const lone = kernel.transaction(joe, (tx) => tx.save(item, 1, { n: 2_000_000 }));
    for (const change of [late, atomic, lone]) await expect(change).rejects.toMatchObject(refused);
    expect(await all.rows('item')).toEqual([{ id: 1, box_id: 1, n: 5 }]);
    expect(await all.rows(`(SELECT * FROM item_journal WHERE tid > ${before})`)).toEqual([]);
    expect(await rows()).toEqual([{ box_id: 1, items: 1, total: 5 }]);
    await kernel.transaction(joe, (tx) => tx.save(item, 1, { n: 6 }));
    expect(await rows()).toEqual([{ box_id: 1, items: 1, total: 6 }]);
  });

  it('reflects all that kernel.atomic() commits together, SQL beside it and deferred triggers included', async () => {
    await all.owner.query(`
      CREATE FUNCTION empty() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM item WHERE box_id = old.id; RETURN NULL; END';
      CREATE CONSTRAINT TRIGGER emptied AFTER DELETE ON box DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION empty()`);
    await makeBoxes(kernel, 3);
    await all.standStill();
    await kernel.atomic(async (writer) => {
      await writer.transaction(joe, (tx) => tx.create(item, { id: 1, box_id: 1, n: 5 }));
      await writer.transaction(joe, (tx) => tx.create(item, { id: 2, box_id: 2, n: 6 }));
      await writer.database.query('INSERT INTO item VALUES (3, 2, 7), (4, 3, 1)');
      await writer.transaction(joe, (tx) => tx.save(item, 1, { box_id: 2 }));
    });
    expect(await rows()).toEqual([
      { box_id: 2, items: 3, total: 18 },
      { box_id: 3, items: 1, total: 1 },
    ]);
    await kernel.transaction(joe, (tx) => tx.delete(box, 2));
    expect(await rows()).toEqual([{ box_id: 3, items: 1, total: 1 }]);
  });

  it('reflects what savepoints have kept, and what was changed after an age was asked for', async () => {
    await all.standStill();
    await kernel.atomic(async (writer) => {
      // age() counts from one transaction on until the end, and this is none yet
      await writer.database.query('SELECT age(xmin) FROM pg_class LIMIT 1');
      for (let id = 1; id <= 3; id++) await all.owner.query('INSERT INTO box VALUES ($1, $2)', [id, 'red']);
      await writer.database.query('SAVEPOINT kept');
      await writer.transaction(joe, (tx) => tx.create(item, { id: 1, box_id: 1, n: 5 }));
      await writer.database.query('RELEASE SAVEPOINT kept; SAVEPOINT undone');
      await writer.transaction(joe, (tx) => tx.save(item, 1, { box_id: 2 }));
      await writer.database.query('ROLLBACK TO SAVEPOINT undone');
      await writer.transaction(joe, (tx) => tx.create(item, { id: 2, box_id: 1, n: 6 }));
    });
    expect(await rows()).toEqual([{ box_id: 1, items: 2, total: 11 }]);
  });

  it('asks one thing at a time of the transaction in which its statements are made', async () => {
    let asked = 0;
    const query = async (text: string, values?: readonly unknown[]) => {
      asked += 1;
      expect(asked).toBe(1);
      const answer = await all.app.query(text, values);
      asked -= 1;
      return answer;
    };
    await prepare({ query } as Queryable, colours);
  });

  it('is caught up by its followers with what others change', async () => {
    await kernel.transaction(joe, (tx) => tx.create(item, { id: 1, box_id: 1, n: 5 }));
    await all.owner.query('INSERT INTO item VALUES (2, 1, 1); UPDATE item SET box_id = 2 WHERE id = 1');
    await kernel.db.transaction().execute(async (trx) => {
      await kernel.join(trx, joe);
      await trx
        .insertInto('item' as never)
        .values({ id: 3, box_id: 2, n: 9 } as never)
        .execute();
    });
    await kernel.waitFor(await highestTid(all.app), { projections: ['box_totals'], timeout: 50_000 });
    expect(await rows()).toEqual([
      { box_id: 1, items: 1, total: 1 },
      { box_id: 2, items: 2, total: 14 },
    ]);
  });

  it('takes a change of more keys than the lock table has room for, after small ones on the same connections', async () => {
    await all.standStill();
    for (let n = 1; n <= 12; n++) await kernel.transaction(joe, (tx) => tx.create(item, { id: -n, box_id: -n, n }));
    await kernel.transaction(joe, (tx) =>
      sql`INSERT INTO item SELECT n, n, n FROM generate_series(1, 20000) n`.execute(tx.read),
    );
    expect(await rows()).toHaveLength(20_012);
    await kernel.transaction(joe, (tx) => sql`UPDATE item SET box_id = box_id + 20000`.execute(tx.read));
    expect(await all.rows('(SELECT min(box_id), max(box_id), count(*) FROM box_totals)')).toEqual([
      { min: 19_988, max: 40_000, count: 20_012 },
    ]);
  });
});

describe('an inline projection is not computed', () => {
  it('in a transaction that would not see what others have committed: the change is refused', async () => {
    const url = { connectionString: all.test.url, options: '-c default_transaction_isolation=repeatable\\ read' };
    const database = Database.open({ url });
    try {
      const strict = createKernel({ database, resources: [box, item], projections: [totals] });
      await expect(strict.transaction(joe, (tx) => tx.create(item, { id: 1, box_id: 1, n: 5 }))).rejects.toMatchObject({
        code: 'configuration',
        message:
          'the inline projection box_totals is computed in READ COMMITTED only: in REPEATABLE READ a transaction does not see what others have committed to its keys',
      });
      expect(await all.rows('item')).toEqual([]);
      // what does not concern it is no matter of its
      await strict.transaction(joe, (tx) => tx.create(box, { id: 1, colour: 'red' }));
    } finally {
      await database.close();
    }
  });

  it('by a program of another version', async () => {
    await all.standStill();
    const newer = all.kernel([box, item], { projections: [{ ...totals, version: 2, rows: 'SELECT nonsense' }] });
    await newer.transaction(joe, (tx) => tx.create(item, { id: 1, box_id: 1, n: 5 }));
    expect(await rows()).toEqual([]);
  });

  it.each<[string, Partial<KeyedProjection>]>([
    ['there is no table nowhere', { table: 'nowhere' }],
    [
      'the inline projection box_totals cannot be computed: column "nonsense" does not exist',
      { sources: [{ resource: item, keys: 'SELECT nonsense FROM changed' }] },
    ],
    [
      'the inline projection box_totals cannot be computed: column "items" does not exist',
      { rows: 'SELECT 1 AS box_id' },
    ],
    ["no migration has called tidemark.projection('unknown', …)", { name: 'unknown' }],
  ])('from a definition that does not fit, and no kernel starts: %s', async (message, part) => {
    const unfit = all.kernel([box, item], { projections: [{ ...totals, ...part }] });
    await expect(unfit.start()).rejects.toMatchObject({ code: 'configuration', message });
  });

  it('when it is a fold', () => {
    expect(() => defineProjection({ ...moves, inline: true } as never)).toThrow(
      'projection "item_moves": a fold cannot be inline: it needs each change in tid order, and those before it may not be committed',
    );
  });
});
