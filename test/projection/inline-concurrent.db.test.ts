import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { highestTid } from '#libs/dispatch';
import type { Kernel } from '#libs/kernel';
import { rebuild, recomputeKeys } from '#libs/projection';
import { waitUntil } from '../support/wait-until.ts';
import { box, item } from './boxes.ts';
import { colours, inlineTotals, makeBoxes, type Totals, totals } from './inline-totals.ts';

const joe = { author: 'joe' };
let all: Totals;
let kernels: Kernel[];
beforeEach(async () => {
  all = await inlineTotals();
  kernels = await Promise.all([all.start([totals, colours]), all.start([colours, totals])]);
  await makeBoxes(kernels[0] as Kernel, 8);
});
afterEach(() => all.close());

/** Runs work in each kernel several times at once, and compares in one snapshot after another until all of it has ended. */
async function neverWrong(writers: number, work: (kernel: Kernel, n: number) => Promise<unknown>): Promise<void> {
  let running = true;
  const writing = Promise.all(Array.from({ length: writers }, (_, n) => work(kernels[n % 2] as Kernel, n))).finally(
    () => {
      running = false;
    },
  );
  // looked at with the writers, so that either ends the test
  const looking = (async () => {
    for (let looks = 0; running || looks === 0; looks++) expect(await all.wrong()).toEqual([]);
  })();
  await Promise.all([writing, looking]);
  expect(await all.wrong()).toEqual([]);
}

async function followed(): Promise<void> {
  const tid = await highestTid(all.app);
  for (const kernel of kernels)
    await kernel.waitFor(tid, { projections: ['box_totals', 'colour_totals'], timeout: 50_000 });
  expect(await all.wrong()).toEqual([]);
}

describe('an inline projection is as its source rows are, in every snapshot', () => {
  it('when two transactions that do not see each other compute one key', async () => {
    await all.standStill();
    // the first one is to stand between what it has computed and its commit: the other projection is the next in its order
    const holder = await all.owner.connect();
    await holder.query('BEGIN');
    await holder.query(
      `SELECT pg_advisory_xact_lock(hashtext('tidemark inline colour_totals'), stripe) FROM generate_series(0, 127) stripe`,
    );
    const waiting = async () =>
      (await all.app.query(`SELECT FROM pg_locks WHERE NOT granted AND locktype <> 'relation'`)).rowCount;
    const changes: Promise<unknown>[] = [];
    for (const [n, kernel] of kernels.entries()) {
      changes.push(kernel.transaction(joe, (tx) => tx.create(item, { id: n, box_id: 1, n: 1 })));
      await waitUntil(async () => (await waiting()) > n, `change ${n} waits`, 60_000);
    }
    await holder.query('COMMIT');
    holder.release();
    await Promise.all(changes);
    expect(await all.rows('box_totals')).toEqual([{ box_id: 1, items: 2, total: 2 }]);
    expect(await all.wrong()).toEqual([]);
  });

  it('while many writers of two processes change one key, with nobody who follows', async () => {
    await all.standStill();
    await neverWrong(10, async (kernel, n) => {
      for (let id = n * 100; id < n * 100 + 12; id++) {
        await kernel.transaction(joe, (tx) => tx.create(item, { id, box_id: 1, n: 1 }));
        if (id % 3 === 0) await kernel.transaction(joe, (tx) => tx.delete(item, id));
      }
    });
    expect(await all.rows('box_totals')).toEqual([{ box_id: 1, items: 80, total: 80 }]);
  });

  it('while rows move, and the rows by which their keys are found, and followers compute the same', async () => {
    await neverWrong(8, async (kernel, n) => {
      for (let step = 0; step < 15; step++) {
        const id = n * 100 + step;
        await kernel.transaction(joe, (tx) => tx.create(item, { id, box_id: 1 + (id % 8), n: 1 }));
        await kernel.transaction(joe, (tx) => tx.save(box, 1 + n, { colour: `c${step % 3}` }));
        await kernel.transaction(joe, (tx) => tx.save(item, id, { box_id: 1 + (step % 2) }));
      }
    });
    await followed();
  });

  it('while writers take keys in opposite orders beside followers and repairs: none is the victim of a deadlock', async () => {
    const keys = Array.from({ length: 30 }, (_, n) => n + 1);
    await neverWrong(8, async (kernel, n) => {
      for (let step = 0; step < 10; step++) {
        await kernel.atomic(async (writer) => {
          for (const box_id of n % 2 ? keys : keys.toReversed()) {
            const id = n * 10_000 + step * 100 + box_id;
            await writer.transaction(joe, (tx) => tx.create(item, { id, box_id, n: 1 }));
          }
        });
        if (n === 0)
          await recomputeKeys(
            all.app,
            totals,
            keys.toReversed().map((key) => [key]),
          );
      }
    });
    await followed();
  });

  it('beside SQL from elsewhere once the followers have come as far', async () => {
    await Promise.all([
      ...kernels.map(async (kernel, n) => {
        for (let id = 1; id <= 40; id++) {
          await kernel.transaction(joe, (tx) => tx.create(item, { id: id * 2 + n, box_id: 1, n: 1 }));
        }
      }),
      (async () => {
        for (let id = 1001; id <= 1100; id++) await all.owner.query(`INSERT INTO item VALUES (${id}, 1, 1)`);
      })(),
    ]);
    await followed();
  });
});

describe('a rebuild of an inline projection', () => {
  it('takes over what is committed above the safe tid, so that no reader sees a row go', async () => {
    await (kernels[0] as Kernel).transaction(joe, (tx) => tx.create(item, { id: 2, box_id: 2, n: 1 }));
    // an open writer: nothing after it is safe
    const open = (kernels[0] as Kernel).begin().prepare(joe);
    open.create(item, { id: 999, box_id: 8, n: 1 });
    await open.flush();
    const interrupted = rebuild(all.app, totals, {
      progress({ phase }) {
        if (phase === 'changes') throw new Error('interrupted');
      },
    });
    await expect(interrupted).rejects.toThrow('interrupted');
    await (kernels[1] as Kernel).transaction(joe, (tx) => tx.create(item, { id: 1, box_id: 1, n: 5 }));
    expect(await rebuild(all.app, totals)).toMatchObject({ resumed: true });
    expect(await all.wrong()).toEqual([]);
    await open.commit();
    expect(await all.wrong()).toEqual([]);
    await followed();
  });

  it('again and again beside writers, never shows a wrong row', async () => {
    let rebuilds = 0;
    await neverWrong(5, async (kernel, n) => {
      if (n === 4) {
        for (; rebuilds < 3; rebuilds++) await rebuild(all.app, totals);
        return;
      }
      for (let id = n * 10_000; rebuilds < 3; id++) {
        await kernel.transaction(joe, (tx) => tx.create(item, { id, box_id: 1 + (id % 3), n: 1 }));
      }
    });
    await followed();
  }, 180_000);

  it('of another version ends what this one computes, also in a transaction that has waited for its swap', async () => {
    const swap = await all.owner.connect();
    await swap.query('BEGIN');
    await swap.query('LOCK TABLE box_totals');
    const change = (kernels[0] as Kernel).transaction(joe, (tx) => tx.create(item, { id: 1, box_id: 1, n: 5 }));
    const waits = `SELECT FROM pg_locks WHERE NOT granted AND relation = 'box_totals'::regclass`;
    await waitUntil(async () => (await all.app.query(waits)).rowCount > 0, 'the change waits for the table', 60_000);
    await swap.query(`UPDATE tidemark.projections SET version = 2 WHERE name = 'box_totals'`);
    await swap.query('COMMIT');
    swap.release();
    await change;
    expect(await all.rows('box_totals')).toEqual([]);
  });
});
