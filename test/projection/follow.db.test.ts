import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { highestTid } from '#libs/dispatch';
import type { Kernel } from '#libs/kernel';
import { compare, compareRebuilt, storedProjections } from '#libs/projection';
import { waitUntil } from '../support/wait-until.ts';
import { type Boxes, box, boxes, CONTENTS, contents, item, moves } from './boxes.ts';

const joe = { author: 'joe' };
let all: Boxes;
beforeEach(async () => {
  all = await boxes();
});
afterEach(() => all.close());

async function caughtUp(kernel: Kernel): Promise<void> {
  await kernel.waitFor(await highestTid(all.app), { projections: ['box_contents', 'item_moves'], timeout: 50_000 });
}

async function expectExact(): Promise<void> {
  expect(await all.rows('box_contents')).toEqual(await all.rows(CONTENTS));
  expect((await compare(all.app, contents)).differences).toEqual([]);
  expect((await compareRebuilt(all.app, moves)).differences).toEqual([]);
}

describe('a projection that is followed', () => {
  it('reflects creating, changing, moving and deleting rows, of each of its sources', async () => {
    const kernel = await all.start();
    const { tid } = await kernel.transaction(joe, (tx) => {
      tx.create(box, { id: 1, colour: 'red' });
      tx.create(box, { id: 2, colour: 'blue' });
      tx.create(item, { id: 7, box_id: 1, n: 1 });
    });
    await kernel.waitFor(tid as number, { projections: ['box_contents', 'item_moves'], timeout: 50_000 });
    expect(await all.rows('box_contents')).toEqual([{ box_id: 1, item_id: 7, colour: 'red', n: 1 }]);
    await kernel.transaction(joe, (tx) => tx.save(item, 7, { n: 2 }));
    await kernel.transaction(joe, (tx) => tx.save(item, 7, { box_id: 2 }));
    await kernel.transaction(joe, (tx) => tx.save(box, 2, { colour: 'green' }));
    await caughtUp(kernel);
    expect(await all.rows('box_contents')).toEqual([{ box_id: 2, item_id: 7, colour: 'green', n: 2 }]);
    expect(await all.rows('item_moves')).toEqual([{ item_id: 7, moves: 2, last: expect.any(Number) }]);
    await kernel.transaction(joe, (tx) => tx.delete(item, 7));
    await caughtUp(kernel);
    expect(await all.rows('box_contents')).toEqual([]);
    await expectExact();
  });

  it('begins with what was there before anybody followed it', async () => {
    await all.owner.query(
      `INSERT INTO box VALUES (1, 'red'); INSERT INTO item SELECT n, 1, n FROM generate_series(1, 50) n`,
    );
    const kernel = await all.start();
    await caughtUp(kernel);
    expect(await all.rows('box_contents')).toHaveLength(50);
    await expectExact();
  });

  it('takes what many rows of one statement have changed together', async () => {
    const kernel = await all.start();
    await all.owner.query(
      `INSERT INTO box VALUES (1, 'red'), (2, 'blue'); INSERT INTO item SELECT n, 1, n FROM generate_series(1, 10000) n`,
    );
    await all.owner.query('UPDATE item SET box_id = 2');
    await caughtUp(kernel);
    expect(await all.rows('box_contents')).toHaveLength(10_000);
    await expectExact();
  });

  it('is exact after many processes have changed the same rows at once, and undone some of it', async () => {
    const kernels = await Promise.all([all.start(), all.start(), all.start()]);
    await all.owner.query(`INSERT INTO box SELECT n, 'c' || n FROM generate_series(1, 3) n`);
    let seed = 1;
    const random = (below: number) => {
      seed = (seed * 48271) % 2147483647;
      return seed % below;
    };
    const change = (kernel: Kernel) =>
      kernel
        .transaction(joe, async (tx) => {
          const statement = [
            kernel.db
              .insertInto('item' as never)
              .values({ id: random(40), box_id: random(4) || null, n: 0 } as never)
              .onConflict((conflict) => conflict.doNothing()),
            kernel.db
              .updateTable('item' as never)
              .set({ box_id: random(4) || null, n: random(9) } as never)
              .where('id' as never, '=', random(40) as never),
            kernel.db.deleteFrom('item' as never).where('id' as never, '=', random(40) as never),
            kernel.db
              .updateTable('box' as never)
              .set({ colour: `c${random(99)}` } as never)
              .where('id' as never, '=', (1 + random(3)) as never),
          ][random(4)];
          tx.stage(statement as never);
          if (random(5) === 0) {
            await tx.flush();
            throw new Error('undone');
          }
        })
        .catch((error: Error) => expect(error.message).toBe('undone'));
    await Promise.all(
      kernels.map(async (kernel) => {
        for (let n = 0; n < 60; n++) await change(kernel);
      }),
    );
    for (const kernel of kernels) await caughtUp(kernel);
    await expectExact();
  });

  it('is moved on by another process when the one at work is gone', async () => {
    const kernel = await all.start();
    const holder = await all.app.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM tidemark.projections FOR UPDATE');
    await kernel.transaction(joe, (tx) => {
      tx.create(box, { id: 1, colour: 'red' });
      tx.create(item, { id: 1, box_id: 1, n: 1 });
    });
    const tid = await highestTid(all.app);
    await expect(kernel.waitFor(tid, { projections: ['box_contents'], timeout: 200 })).rejects.toMatchObject({
      code: 'not_caught_up',
      message: expect.stringContaining('box_contents did not reflect'),
    });
    expect(await all.rows('box_contents')).toEqual([]);
    holder.release(new Error('gone'));
    await caughtUp(kernel);
    await expectExact();
  });

  it('that fails says so, delays no other, and goes on when it can', async () => {
    const kernel = await all.start();
    await all.owner.query('ALTER TABLE box_contents ADD CONSTRAINT small CHECK (n < 10)');
    await all.owner.query(`INSERT INTO box VALUES (1, 'red'); INSERT INTO item VALUES (1, 1, 99)`);
    const stored = async () => (await storedProjections(all.app))[0];
    await waitUntil(async () => typeof (await stored())?.error === 'string', 'the failure is told', 60_000);
    expect((await stored())?.error).toMatch(/small/);
    expect(all.log.lines.filter(({ level }) => level === 'error').map(({ message }) => message)).toEqual([
      'a projection cannot be kept current',
    ]);
    await kernel.waitFor(await highestTid(all.app), { projections: ['item_moves'], timeout: 50_000 });
    await all.owner.query('ALTER TABLE box_contents DROP CONSTRAINT small');
    await caughtUp(kernel);
    expect((await stored())?.error).toBeNull();
    await expectExact();
  });

  it('that no migration has registered is named', async () => {
    await all.start([{ ...contents, name: 'unknown' }]);
    await waitUntil(() => all.log.lines.some(({ level }) => level === 'error'), 'it is logged', 60_000);
    expect(JSON.stringify(all.log.lines.map(({ about }) => String(about['err'])))).toContain(
      "no migration has called tidemark.projection('unknown', …)",
    );
  });
});
