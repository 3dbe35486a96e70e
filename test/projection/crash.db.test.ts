import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { highestTid } from '#libs/dispatch';
import type { Kernel } from '#libs/kernel';
import { compare, compareRebuilt, rebuild } from '#libs/projection';
import { repositoryRoot } from '../support/repository-root.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Boxes, boxes, CONTENTS, contents, moves } from './boxes.ts';
import { CHAIN_SET_UP, chain, expectedChain } from './chain.ts';
import type { FollowerOptions, Written } from './follower-process.ts';

const ALL = [contents, moves, chain];
const ITEMS = 40;
const MOVED = `(SELECT id::int AS item_id, count(*)::int AS moves, max(tid) AS last
  FROM item_history WHERE field = 'box_id' GROUP BY id)`;
let all: Boxes;
let children: ChildProcess[];

beforeEach(async () => {
  all = await boxes();
  children = [];
  await all.owner.query(CHAIN_SET_UP);
  await all.owner.query(`INSERT INTO box SELECT n, 'red' FROM generate_series(1, 5) n;
    INSERT INTO item SELECT n, 1, n FROM generate_series(1, ${ITEMS}) n`);
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await all.close();
});

/** A process that follows, and the batches that its folds have written. */
function follow(stop: FollowerOptions['stop'] = null) {
  const options: FollowerOptions = { url: all.test.url, stop };
  const file = join(repositoryRoot(), 'dist/test/projection/follower-process.js');
  const child = fork(file, [JSON.stringify(options)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  children.push(child);
  const written: Written[] = [];
  child.on('message', (batch: Written) => written.push(batch));
  const kill9 = async () => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  return { written, kill9 };
}

/** Changes rows one statement after another, as SQL from elsewhere does, until it is told to end. */
function writer(): { end: () => Promise<void> } {
  let ends = false;
  const writing = (async () => {
    for (let n = 17; !ends; n = (n * 48271) % 2147483647) {
      const id = 1 + (n % ITEMS);
      const text = [
        `UPDATE item SET n = ${n % 99} WHERE id = ${id}`,
        `UPDATE item SET box_id = ${1 + (n % 7)}, n = n + 1 WHERE id BETWEEN ${id} AND ${id + 5}`,
        `DELETE FROM item WHERE id = ${id}`,
        `INSERT INTO item VALUES (${id}, ${1 + (n % 5)}, 0) ON CONFLICT (id) DO UPDATE SET n = item.n + 1`,
      ][n % 4] as string;
      await all.owner.query(text);
    }
  })();
  const end = async () => {
    ends = true;
    await writing;
  };
  return { end };
}

async function caughtUp(kernel: Kernel): Promise<void> {
  const names = ALL.map(({ name }) => name);
  await kernel.waitFor(await highestTid(all.app), { projections: names, timeout: 50_000 });
}

async function expectExact(kernel: Kernel): Promise<void> {
  await caughtUp(kernel);
  expect(await all.rows('item_chain')).toEqual(await expectedChain(all.owner));
  expect(await all.rows('item_moves')).toEqual(await all.rows(MOVED));
  expect(await all.rows('box_contents')).toEqual(await all.rows(CONTENTS));
}

it('every change is applied once and in order, though processes are killed -9 within a batch and between them', async () => {
  const writing = writer();
  const steady = follow();
  const stops: FollowerOptions['stop'][] = [
    { in: 'item_moves', nth: 1 },
    { in: 'item_chain', nth: 1 },
    { in: 'item_chain', nth: 2 },
    null,
    { in: 'item_moves', nth: 2 },
    null,
  ];
  for (const [n, stop] of stops.entries()) {
    const one = follow(stop);
    const batches = () => one.written.filter(({ projection }) => projection === (stop?.in ?? 'item_chain')).length;
    await waitUntil(() => batches() >= (stop?.nth ?? 1), `process ${n} has applied a batch`, 60_000);
    await one.kill9();
    // what it left goes on elsewhere
    const before = steady.written.length;
    await waitUntil(() => steady.written.length > before + 3, `another one goes on after kill ${n}`, 60_000);
  }
  await writing.end();
  await steady.kill9();
  const kernel = await all.start(ALL);
  await expectExact(kernel);
  for (const projection of ALL) expect((await compareRebuilt(all.app, projection)).differences).toEqual([]);
}, 180_000);

it('a checkpoint set back by hand heals where keys are computed, and has folds apply changes twice, which is found and rebuilt', async () => {
  const kernel = await all.start(ALL);
  await all.owner.query('UPDATE item SET box_id = 2, n = n + 1');
  await expectExact(kernel);
  const setBack = async () => {
    await all.owner.query(`UPDATE tidemark.projections SET tid = 0`);
    const stands = async () => (await all.owner.query('SELECT FROM tidemark.projections WHERE tid = 0')).rowCount === 0;
    await waitUntil(stands, 'they have gone on', 30_000);
  };
  await setBack();
  expect((await compare(all.app, contents)).differences).toEqual([]);
  expect((await compareRebuilt(all.app, contents)).differences).toEqual([]);
  for (const fold of [moves, chain]) {
    expect((await compareRebuilt(all.app, fold)).differences).not.toEqual([]);
    await rebuild(all.app, fold);
    expect((await compareRebuilt(all.app, fold)).differences).toEqual([]);
  }
  await expectExact(kernel);
});

it('a checkpoint set ahead by hand leaves changes out, which is found and rebuilt', async () => {
  const kernel = await all.start(ALL);
  await expectExact(kernel);
  await all.owner.query(`UPDATE tidemark.projections SET tid = tid + 1`);
  await all.owner.query('UPDATE item SET box_id = 3, n = n + 1');
  await caughtUp(kernel);
  expect((await compare(all.app, contents)).differences).not.toEqual([]);
  for (const projection of ALL) {
    expect((await compareRebuilt(all.app, projection)).differences).not.toEqual([]);
    await rebuild(all.app, projection);
    expect((await compareRebuilt(all.app, projection)).differences).toEqual([]);
  }
  await expectExact(kernel);
});
