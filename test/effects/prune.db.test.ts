import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { createKernel } from '#libs/kernel';
import { settled } from '#libs/testing';
import { type Harness, harness, ITEM } from '../dispatch/harness.ts';
import { PATIENTLY, waitUntil } from '../support/wait-until.ts';

let h: Harness;
beforeEach(async () => {
  h = await harness(ITEM);
});
afterEach(() => h.close());

/** Starts a process, which prunes first, and stops it when it has made a look around, and what else is to be waited for. */
async function lookAround(effectKeepDays: number, until = async () => true): Promise<void> {
  const kernel = createKernel({ database: h.app, resources: [], log: h.log, effectKeepDays });
  kernel.listen({ name: 'quick', onPrimary: () => undefined });
  await kernel.start();
  await settled(kernel, PATIENTLY);
  try {
    await waitUntil(until, 'what is waited for has come');
  } finally {
    await kernel.stop();
  }
}

const ledger = async () => {
  const { rows } = await h.owner.query<{ tid: number }>('SELECT tid FROM tidemark.effects ORDER BY tid');
  return rows.map(({ tid }) => tid);
};

it('keeps what is done for so many days, and until every position has passed', async () => {
  await lookAround(7);
  const tids = [await h.change('INSERT INTO item VALUES (1)'), await h.change('INSERT INTO item VALUES (2)')];
  await lookAround(7);
  await waitUntil(async () => (await ledger()).length === 2, 'both are in the ledger');
  await h.owner.query(`UPDATE tidemark.effects SET finished = now() - interval '3 days'`);
  await lookAround(7);
  expect(await ledger()).toEqual(tids);
  await h.owner.query('INSERT INTO tidemark.listener_positions (listener, tid) VALUES ($1, $2)', ['behind', tids[0]]);
  await lookAround(2);
  expect(await ledger()).toEqual([tids[1]]);
  await h.owner.query('UPDATE tidemark.listener_positions SET tid = $1', [tids[1]]);
  await lookAround(2);
  expect(await ledger()).toEqual([]);
});

it('keeps what is not done, however old', async () => {
  await lookAround(1);
  const tid = await h.change('INSERT INTO item VALUES (1)');
  await h.owner.query(
    `INSERT INTO tidemark.effects (listener, tid, resource, id, state, created) VALUES ('quick', $1, 'item', '1', 'parked', now() - interval '1 year')`,
    [tid],
  );
  await lookAround(1);
  expect(await ledger()).toEqual([tid]);
});

it('deletes all that is too old, however much has come together', async () => {
  await h.owner.query(`INSERT INTO tidemark.listener_positions (listener, tid) VALUES ('quick', 50000)`);
  await h.owner.query(
    `INSERT INTO tidemark.effects (listener, tid, resource, id, state, finished)
       SELECT 'quick', n, 'item', '1', 'done', now() - interval '3 days' FROM generate_series(1, 12500) n`,
  );
  await lookAround(2, async () => (await ledger()).length === 0);
});
