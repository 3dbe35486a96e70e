import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Kernel } from '#libs/kernel';
import { rebuild } from '#libs/projection';
import { type Boxes, box, boxes, contents, item, moves } from '../projection/boxes.ts';
import { pastTriggers } from '../support/past-triggers.ts';
import { waitUntil } from '../support/wait-until.ts';
import { found, OPERATOR, repaired } from './damage.ts';

let all: Boxes;
let kernel: Kernel;
beforeAll(async () => {
  all = await boxes();
  await all.owner.query(`INSERT INTO box SELECT n, 'c' FROM generate_series(1, 5) n`);
  kernel = await all.start();
});
afterAll(() => all.close());

/** Four writers that change rows, make them and delete them, until they are told to stop; a part is undone. */
function writers(): { stop(): Promise<number> } {
  let stopped = false;
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 48271) % 2147483647;
    return seed % below;
  };
  const write = async () => {
    let written = 0;
    for (; !stopped; written++) {
      // as fast as possible the projection would only fall behind, and nothing be compared
      await delay(10);
      const id = random(300);
      const statement = [
        `INSERT INTO item VALUES (${id}, ${random(5)}, 0) ON CONFLICT (id) DO UPDATE SET n = item.n + 1`,
        `UPDATE item SET n = n + 1, box_id = ${random(5)} WHERE id IN (${id}, ${id + 1})`,
        `DELETE FROM item WHERE id = ${id}`,
        `DO $$ BEGIN UPDATE box SET colour = 'c${random(99)}' WHERE id = ${random(5)}; RAISE 'undone'; END $$`,
      ][random(4)] as string;
      await all.app
        .query(statement)
        .catch((error: { code?: string }) => expect(['40P01', 'P0001']).toContain(error.code));
    }
    return written;
  };
  const working = Promise.all([write(), write(), write(), write()]);
  return {
    async stop() {
      stopped = true;
      return (await working).reduce((sum, written) => sum + written, 0);
    },
  };
}

/** What two queries say, each in a snapshot of its own. */
async function naive(): Promise<number> {
  const { rows: live } = await all.app.query<{ id: number; n: number }>('SELECT id, n FROM item');
  const { rows: folded } = await all.app.query<{ id: string; value: number }>(
    `SELECT id, value FROM tidemark.fold('item') WHERE field = 'n'`,
  );
  const values = new Map(folded.map(({ id, value }) => [id, value]));
  return live.filter(({ id, n }) => values.get(String(id)) !== n).length;
}

it('nothing is found while four processes write, where two queries would find something', async () => {
  const at = writers();
  try {
    for (let n = 0; n < 6; n++) expect(await found(kernel, {}, 40)).toEqual([]);
    await waitUntil(async () => (await naive()) > 0, 'the naive check finds what is not so', 60_000);
    expect(await found(kernel, {}, 40)).toEqual([]);
  } finally {
    expect(await at.stop()).toBeGreaterThan(20);
  }
  expect(await naive()).toBe(0);
});

it('a finding is neither lost nor made twice by several who look for it, beside writers', async () => {
  await pastTriggers(all, `INSERT INTO item SELECT n, NULL, n FROM generate_series(1001, 1020) n`);
  const at = writers();
  const others = [kernel, all.kernel([box, item], { projections: [contents, moves] }), all.kernel()];
  try {
    for (const lines of await Promise.all(others.map((one) => found(one, { resource: 'item' }, 40)))) {
      expect(lines).toHaveLength(20);
    }
    const { rows } = await all.app.query('SELECT state FROM tidemark.finding');
    expect(rows).toHaveLength(20);
    const { rows: journaled } = await all.app.query(`SELECT change FROM tidemark.journal WHERE resource = 'finding'`);
    expect(journaled).toHaveLength(20);
    const done = await Promise.allSettled(
      others.map((one) => repaired(one, { resource: 'item' }, { accept: 'journal' })),
    );
    expect(done.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThan(0);
    expect(await found(kernel, { resource: 'item' }, 40)).toEqual([]);
  } finally {
    await at.stop();
  }
  const { rows } = await all.app.query(`SELECT DISTINCT state, resolved_by FROM tidemark.finding`);
  expect(rows).toEqual([{ state: 'resolved', resolved_by: OPERATOR.author }]);
  const { rows: deleted } = await all.app.query(
    `SELECT id FROM tidemark.journal WHERE resource = 'item' AND change = 'DELETE' AND author = 'ann'`,
  );
  expect(deleted).toHaveLength(20);
});

it('a swap of the tables meanwhile is no damage', async () => {
  const at = writers();
  try {
    let swapping = true;
    const swaps = (async () => {
      for (let n = 0; n < 3; n++) await rebuild(all.app, contents, { anew: true });
      swapping = false;
    })();
    while (swapping) expect(await found(kernel, { projection: 'box_contents' }, 5)).toEqual([]);
    await swaps;
  } finally {
    await at.stop();
  }
});
