import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { highestTid } from '#libs/dispatch';
import type { Kernel } from '#libs/kernel';
import { compare, compareRebuilt, type Projection, rebuild, storedProjections } from '#libs/projection';
import { settled } from '#libs/testing';
import { repositoryRoot } from '../support/repository-root.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Boxes, boxes, CONTENTS, contents, moves } from './boxes.ts';
import type { News, ProcessOptions } from './rebuild-process.ts';

const joe = { author: 'joe' };
const BOXES = 5_000;
let all: Boxes;
let children: ChildProcess[];

beforeEach(async () => {
  all = await boxes();
  children = [];
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await all.close();
});

async function fill(): Promise<void> {
  await all.owner.query(`INSERT INTO box SELECT n, 'red' FROM generate_series(1, ${BOXES}) n;
    INSERT INTO item SELECT n, n, 0 FROM generate_series(1, ${BOXES}) n`);
}

/** Starts a process that rebuilds; the news it sends, and how to kill it. */
function start(projection: string, stopAt: ProcessOptions['stopAt'] = null) {
  const options: ProcessOptions = { url: all.test.url, projection, stopAt };
  const file = join(repositoryRoot(), 'dist/test/projection/rebuild-process.js');
  const child = fork(file, [JSON.stringify(options)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  children.push(child);
  const news = once(child, 'message').then(([said]) => said as News);
  const kill9 = async () => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  return { news, kill9 };
}

/** What a process says that rebuilds to the end. The server may not have noticed yet that the one before it is dead. */
async function finished(projection: string): Promise<{ tid: number; resumed: boolean; pages: number }> {
  for (;;) {
    const said = await start(projection).news;
    if (!('code' in said)) return said as { tid: number; resumed: boolean; pages: number };
    expect(said.code).toBe('conflict');
  }
}

/** Changes rows in each kernel, one change after another, until it is told to end; resolves with how many there were. */
function writers(kernels: readonly Kernel[]): { count: () => number; end: () => Promise<void> } {
  let ends = false;
  let count = 0;
  const write = async (kernel: Kernel, seed: number) => {
    for (let n = seed; !ends; n = (n * 48271) % 2147483647) {
      const id = 1 + (n % BOXES);
      const text = [
        `UPDATE item SET box_id = ${1 + (n % 7)}, n = n + 1 WHERE id = ${id}`,
        `UPDATE item SET n = ${n % 99} WHERE id = ${id}`,
        `DELETE FROM item WHERE id = ${id}`,
        `INSERT INTO item VALUES (${id}, ${1 + (n % 7)}, 0) ON CONFLICT DO NOTHING`,
        `UPDATE box SET colour = 'c${n % 99}' WHERE id = ${1 + (n % 7)}`,
      ][n % 5] as string;
      await kernel.database.query(text);
      kernel.wake();
      count += 1;
    }
  };
  const all = kernels.flatMap((kernel, n) => [write(kernel, 11 + n), write(kernel, 77 + n)]);
  const end = async () => {
    ends = true;
    await Promise.all(all);
  };
  return { count: () => count, end };
}

async function expectExact(kernels: readonly Kernel[]): Promise<void> {
  const tid = await highestTid(all.app);
  for (const kernel of kernels)
    await kernel.waitFor(tid, { projections: ['box_contents', 'item_moves'], timeout: 50_000 });
  expect(await all.rows('box_contents')).toEqual(await all.rows(CONTENTS));
  expect((await compare(all.app, contents, { limit: 2 * BOXES })).differences).toEqual([]);
  for (const projection of [contents, moves]) {
    expect((await compareRebuilt(all.app, projection)).differences).toEqual([]);
  }
}

describe('a rebuild', () => {
  it('ends while writers write without a pause, and nobody who reads is refused', async () => {
    await fill();
    const kernels = await Promise.all([all.start(), all.start()]);
    const writing = writers(kernels);
    let reads = 0;
    let reading = true;
    const reader = (async () => {
      for (; reading; reads += 1)
        await all.app.query('SELECT count(*) FROM box_contents, (SELECT FROM item_moves LIMIT 1) m');
    })();
    for (const projection of [contents, moves] as Projection[]) {
      const before = writing.count();
      const { tid, resumed } = await rebuild(all.app, projection);
      expect(resumed).toBe(false);
      expect(tid).toBeGreaterThan(0);
      expect(writing.count()).toBeGreaterThan(before);
    }
    reading = false;
    await Promise.all([reader, writing.end()]);
    expect(reads).toBeGreaterThan(0);
    await expectExact(kernels);
  }, 180_000);

  it('that is killed -9 again and again is gone on with where it was, by another process, while writers write', async () => {
    await fill();
    const kernels = await Promise.all([all.start(), all.start()]);
    await expectExact(kernels);
    const writing = writers(kernels);
    for (const [n, stopAt] of [
      { phase: 'source rows', nth: 1 } as const,
      { phase: 'source rows', nth: 1 } as const,
      { phase: 'changes', nth: 1 } as const,
    ].entries()) {
      await killedAt('box_contents', stopAt);
      const before = writing.count();
      await waitUntil(() => writing.count() > before + 10, `writers go on after kill ${n}`, 60_000);
    }
    // 5,000 keys are three pages: two were read before, and the third by the process that was killed amid changes
    expect(await finished('box_contents')).toMatchObject({ resumed: true, pages: 0 });
    await killedAt('item_moves', { phase: 'changes', nth: 2 });
    expect(await finished('item_moves')).toMatchObject({ resumed: true });
    await writing.end();
    await expectExact(kernels);
    expect((await storedProjections(all.app)).map(({ rebuilding }) => rebuilding)).toEqual([null, null]);
  }, 180_000);

  async function killedAt(projection: string, stopAt: ProcessOptions['stopAt']): Promise<void> {
    for (;;) {
      const { news, kill9 } = start(projection, stopAt);
      const said = await news;
      await kill9();
      if ('at' in said) return;
      expect(said).toEqual({ code: 'conflict' });
    }
  }

  it('runs once at a time, and begins anew when asked to', async () => {
    await fill();
    const kernels = [await all.start()];
    const { news, kill9 } = start('box_contents', { phase: 'source rows', nth: 1 });
    expect(await news).toMatchObject({ at: { phase: 'source rows', done: 2_000 } });
    await expect(rebuild(all.app, contents)).rejects.toMatchObject({
      code: 'conflict',
      message: 'the projection box_contents is being rebuilt already',
    });
    await kill9();
    const scanned: number[] = [];
    const progress = ({ phase, done }: { phase: string; done: number }) => {
      if (phase === 'source rows') scanned.push(done);
    };
    const anew = () => rebuild(all.app, contents, { anew: true, progress }).catch((error) => ({ error }));
    let done = await anew();
    while ('error' in done) done = await anew();
    expect(done).toMatchObject({ resumed: false });
    expect(scanned).toEqual([2_000, 4_000, BOXES]);
    await expectExact(kernels);
  });

  it('that has lost the connection with its lock does not apply a change that another one applies', async () => {
    await all.owner.query(`INSERT INTO item SELECT n, 1, n FROM generate_series(1, 20) n; UPDATE item SET box_id = 2`);
    const kernel = await all.start();
    await expectExact([kernel]);
    await all.owner.query(`SELECT tidemark.begin_rebuild('item_moves', 1, 0, true, true)`);
    // each stops where it says how far it has come, its rows written
    const holder = await all.owner.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM tidemark.projection_rebuilds FOR UPDATE');
    const waiting = async () => {
      const { rows } = await all.owner.query(
        `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
      );
      return rows.length;
    };
    const one = rebuild(all.app, moves);
    await waitUntil(async () => (await waiting()) === 1, 'the first one waits', 30_000);
    await all.owner.query(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
      AND classid::int = hashtext('tidemark rebuild') AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`);
    let other = rebuild(all.app, moves).catch((error) => error.message);
    while ((await Promise.race([other, waiting()])) === 'the projection item_moves is being rebuilt already') {
      other = rebuild(all.app, moves).catch((error) => error.message);
    }
    await waitUntil(async () => (await waiting()) === 2, 'the second one waits for it', 30_000);
    await holder.query('COMMIT');
    holder.release();
    await one;
    expect(await other).toBe('another process goes on with the rebuild of item_moves');
    await expectExact([kernel]);
  });

  it('mends what was damaged, journals nothing and tells no listener', async () => {
    await all.owner.query(
      `INSERT INTO box VALUES (1, 'red'); INSERT INTO item SELECT n, 1, n FROM generate_series(1, 20) n`,
    );
    const kernel = await all.start();
    const told: string[] = [];
    const restarted = await all.start([], { name: 'told', onPrimary: async ({ id }) => void told.push(id) });
    await kernel.transaction(joe, (tx) => tx.stage(kernel.db.updateTable('item' as never).set({ n: 5 } as never)));
    await settled([kernel, restarted]);
    await expectExact([kernel]);
    await all.owner.query(`UPDATE item_moves SET moves = 9 WHERE item_id = 1; DELETE FROM item_moves WHERE item_id = 2;
      UPDATE box_contents SET colour = 'black' WHERE item_id = 3; INSERT INTO box_contents VALUES (1, 99, 'red', 0)`);
    expect((await compareRebuilt(all.app, moves)).differences).toMatchObject([
      { kind: 'wrong', id: [1], field: 'moves', expected: 1, actual: 9 },
      { kind: 'missing', id: [2], field: null },
    ]);
    expect((await compareRebuilt(all.app, contents)).differences).toMatchObject([
      { kind: 'wrong', id: [1, 3], field: 'colour', expected: 'red', actual: 'black' },
      { kind: 'extra', id: [1, 99] },
    ]);
    const ledger = () =>
      all.owner.query('SELECT (SELECT count(*) FROM tidemark.effects), (SELECT max(tid) FROM tidemark.journal)');
    const [before, toldBefore] = [(await ledger()).rows, told.length];
    for (const projection of [contents, moves] as Projection[]) await rebuild(all.app, projection);
    await settled([kernel, restarted]);
    await expectExact([kernel]);
    expect((await ledger()).rows).toEqual(before);
    expect(told).toHaveLength(toldBefore);
    expect(toldBefore).toBeGreaterThan(0);
  });

  it('waits with the swap for whoever reads the old table, and holds up nobody for long', async () => {
    await all.owner.query(`INSERT INTO box VALUES (1, 'red'); INSERT INTO item VALUES (1, 1, 1)`);
    const kernel = await all.start();
    await expectExact([kernel]);
    const reader = await all.owner.connect();
    await reader.query('BEGIN');
    await reader.query('SELECT FROM box_contents');
    let over = false;
    const rebuilding = rebuild(all.app, contents).finally(() => {
      over = true;
    });
    const swapWaits = async () => {
      const { rows } = await all.owner.query(
        `SELECT FROM pg_locks WHERE NOT granted AND relation = 'box_contents'::regclass AND mode = 'AccessExclusiveLock'`,
      );
      return rows.length > 0;
    };
    for (let turn = 1; turn <= 2; turn++) {
      await waitUntil(swapWaits, `the swap waits, turn ${turn}`, 30_000);
      // behind a lock that waits; lets go within its time-out
      expect((await all.app.query('SELECT FROM box_contents')).rows).toHaveLength(1);
      await kernel.transaction(joe, (tx) =>
        tx.stage(kernel.db.updateTable('item' as never).set({ n: 10 + turn } as never)),
      );
      await kernel.waitFor(await highestTid(all.app), { projections: ['box_contents'], timeout: 50_000 });
    }
    expect(over).toBe(false);
    await reader.query('COMMIT');
    reader.release();
    await rebuilding;
    await expectExact([kernel]);
  });

  it('keeps indexes, checks and what others may do with the table, and refuses what it could not keep', async () => {
    await all.owner.query(`INSERT INTO box VALUES (1, 'red'); INSERT INTO item VALUES (1, 1, 1);
      CREATE INDEX ON box_contents (colour); ALTER TABLE box_contents ADD CHECK (n < 100); GRANT SELECT ON box_contents TO PUBLIC`);
    const kernel = await all.start();
    await expectExact([kernel]);
    const facts = async () =>
      (
        await all.owner.query(`SELECT relacl::text,
            (SELECT array_agg(indexdef ORDER BY indexdef) FROM pg_indexes i WHERE i.tablename = c.relname) AS indexes,
            (SELECT array_agg(pg_get_constraintdef(k.oid) ORDER BY pg_get_constraintdef(k.oid)) FROM pg_constraint k WHERE k.conrelid = c.oid) AS constraints
          FROM pg_class c WHERE oid = 'box_contents'::regclass`)
      ).rows;
    const before = await facts();
    await rebuild(all.app, contents);
    expect(await facts()).toEqual(before);
    await all.owner.query('CREATE VIEW reds AS SELECT * FROM box_contents');
    await expect(rebuild(all.app, contents)).rejects.toMatchObject({
      code: 'conflict',
      message:
        'the table public.box_contents of projection "box_contents" cannot be exchanged: the view public.reds would be lost',
    });
    await all.owner.query('DROP VIEW reds');
    await expectExact([kernel]);
  });

  it('finds what is not applied yet stale, and not wrong', async () => {
    await all.owner.query(
      `INSERT INTO box VALUES (1, 'red'); INSERT INTO item SELECT n, 1, n FROM generate_series(1, 3) n`,
    );
    const kernel = await all.start();
    await expectExact([kernel]);
    await kernel.stop();
    await all.owner.query(`UPDATE box SET colour = 'blue'; UPDATE item_moves SET moves = 9 WHERE item_id = 1`);
    const { differences } = await compareRebuilt(all.app, contents);
    expect(differences.map(({ id, field, stale }) => [id, field, stale])).toEqual(
      [1, 2, 3].map((n) => [[1, n], 'colour', true]),
    );
    expect((await compareRebuilt(all.app, moves)).differences).toMatchObject([{ id: [1], stale: false }]);
  });

  it('is what a projection gets that a migration registers again', async () => {
    await all.owner.query(
      `INSERT INTO box VALUES (1, 'red'); INSERT INTO item SELECT n, 1, n FROM generate_series(1, 3) n`,
    );
    const kernel = await all.start();
    await expectExact([kernel]);
    await all.owner.query(
      `SELECT tidemark.projection('item_moves', 'item_moves'), tidemark.projection('box_contents', 'box_contents')`,
    );
    const tid = await highestTid(all.app);
    const filled = async () => (await storedProjections(all.app)).every((stored) => stored.tid >= tid);
    await waitUntil(filled, 'they are filled', 30_000);
    await expectExact([kernel]);
  });

  it('of a newer version happens before it is followed, and older processes leave its rows alone', async () => {
    await all.owner.query(
      `INSERT INTO box VALUES (1, 'red'); INSERT INTO item SELECT n, 1, n FROM generate_series(1, 20) n`,
    );
    const old = await all.start([contents]);
    await old.waitFor(await highestTid(all.app), { projections: ['box_contents'], timeout: 50_000 });
    const rows = contents.rows.replace('i.n FROM', 'i.n * 2 AS n FROM');
    const newer = await all.start([{ ...contents, version: 2, rows }]);
    await newer.waitFor(await highestTid(all.app), { projections: ['box_contents'], timeout: 50_000 });
    const doubled = CONTENTS.replace('i.n FROM', 'i.n * 2 AS n FROM');
    expect(await all.rows('box_contents')).toEqual(await all.rows(doubled));
    await old.transaction(joe, (tx) => tx.stage(old.db.updateTable('item' as never).set({ n: 7 } as never)));
    await newer.waitFor(await highestTid(all.app), { projections: ['box_contents'], timeout: 50_000 });
    expect(await all.rows('box_contents')).toEqual(await all.rows(doubled));
    await waitUntil(
      () => old.projections.status()[0]?.state === 'outdated',
      'the older process sees that it is',
      60_000,
    );
    await expect(
      old.waitFor(await highestTid(all.app), { projections: ['box_contents'], timeout: 50 }),
    ).rejects.toMatchObject({ code: 'not_caught_up' });
  });
});
