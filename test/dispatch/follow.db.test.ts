import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Dispatcher } from '#libs/dispatch';
import { frontier, type JournalEntry, type Position, readEntries } from '#libs/journal';
import { type Harness, harness, ITEM, openTransaction } from './harness.ts';

let h: Harness;
let dispatcher: Dispatcher;

beforeAll(async () => {
  h = await harness(
    `${ITEM} CREATE TABLE other (id integer PRIMARY KEY, n integer); SELECT tidemark.journal_table('other');`,
  );
  dispatcher = h.dispatcher();
  await dispatcher.start();
});

afterAll(() => h.close());

const keys = (entries: readonly JournalEntry[]) => entries.map((entry) => `${entry.tid} ${entry.resource} ${entry.id}`);

async function journal(after: Position, resource?: string): Promise<string[]> {
  return keys(await readEntries(h.app, { after, limit: 1_000_000, ...(resource && { resource }) }));
}

/** Follows until so many entries have come. */
async function take(
  count: number,
  options: { after: Position; resource?: string },
  eachBatch: () => unknown = () => undefined,
) {
  const stop = new AbortController();
  const taken: JournalEntry[] = [];
  const sizes: number[] = [];
  for await (const entries of dispatcher.follow({ ...options, signal: stop.signal })) {
    taken.push(...entries);
    sizes.push(entries.length);
    if (taken.length >= count) stop.abort();
    await eachBatch();
  }
  return { taken, sizes };
}

let id = 0;
function insert(rows: number): string {
  id += rows;
  return `INSERT INTO item SELECT n, 'x' FROM generate_series(${id - rows + 1}, ${id}) n`;
}

test('following from the middle of a tid of 5,000 rows yields the rest of it and all that comes later, once', async () => {
  const tid = await h.change(insert(5_000));
  const middle = (await readEntries(h.app, { after: { tid: tid - 1 }, limit: 2_345 })).at(-1) as JournalEntry;
  const after = { tid, resource: middle.resource, id: middle.id };
  const following = take(5_000 - 2_345 + 30, { after });
  for (let n = 0; n < 30; n++) await h.change(insert(1));
  const { taken, sizes } = await following;
  expect(keys(taken)).toEqual(await journal(after));
  expect(Math.max(...sizes)).toBeLessThanOrEqual(2_000);
});

test('a slow consumer gets everything once and in order, in batches of bounded size, however much is written meanwhile', async () => {
  const { safe } = await frontier(h.app);
  const after = { tid: safe };
  let slow = true;
  const following = take(10_000 + 20, { after }, () => (slow ? delay(200) : undefined));
  for (let n = 0; n < 20; n++) {
    await h.change(insert(500));
    await h.change(insert(1));
  }
  slow = false;
  const { taken, sizes } = await following;
  expect(keys(taken)).toEqual(await journal(after));
  expect(Math.max(...sizes)).toBeLessThanOrEqual(4_000);
});

test('a follower of one resource gets that resource only, from the past and live', async () => {
  const { safe } = await frontier(h.app);
  const after = { tid: safe };
  await h.change('INSERT INTO other VALUES (1, 1)');
  await h.change(insert(3));
  const following = take(4, { after, resource: 'other' });
  for (let n = 0; n < 3; n++) {
    await h.change(insert(2));
    await h.change('UPDATE other SET n = n + 1 WHERE id = 1');
  }
  expect(keys((await following).taken)).toEqual(await journal(after, 'other'));
});

test('a follower whose cursor is ahead of this process waits, and then gets what comes after the cursor', async () => {
  const holder = await openTransaction(h.owner, insert(1));
  const ahead = await h.change(insert(1));
  const last = (await readEntries(h.app, { after: { tid: ahead - 1 }, limit: 1 }))[0] as JournalEntry;
  const following = [{ tid: ahead }, { tid: ahead, resource: last.resource, id: last.id }].map((after) =>
    take(1, { after }),
  );
  await holder.end();
  const next = await h.change(insert(1));
  for (const { taken } of await Promise.all(following)) expect(taken.map(({ tid }) => tid)).toEqual([next]);
});

test('a follower ends when its signal comes, also while nothing happens', async () => {
  const stop = new AbortController();
  const iterator = dispatcher.follow({ after: { tid: (await frontier(h.app)).safe }, signal: stop.signal });
  const next = iterator.next();
  stop.abort();
  expect(await next).toEqual({ done: true, value: undefined });
  expect(await iterator.next()).toEqual({ done: true, value: undefined });
});

test('followers end when the dispatcher stops', async () => {
  const other = h.dispatcher();
  await other.start();
  const iterator = other.follow({ after: { tid: (await frontier(h.app)).safe }, signal: new AbortController().signal });
  const next = iterator.next();
  await other.stop();
  expect(await next).toEqual({ done: true, value: undefined });
});
