import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { Database, runInTransaction } from '#libs/database';
import { type Cache, type CacheDefinition, Dispatcher } from '#libs/dispatch';
import { frontier } from '#libs/journal';
import { PATIENTLY, waitUntil } from '../support/wait-until.ts';
import { type Harness, harness, openTransaction, RecordedLog } from './harness.ts';

let h: Harness;
const running: Dispatcher[] = [];

beforeAll(async () => {
  h = await harness();
});

beforeEach(() => h.change('DELETE FROM item'));

afterEach(async () => {
  await Promise.all(running.splice(0).map((dispatcher) => dispatcher.stop()));
});

afterAll(() => h.close());

type Item = { name: string | null; n: number };
type Items = Map<string, Item>;

/** A cache of the whole table, loaded in two parts with a pause between, as a large one would be. */
function items(more: Partial<CacheDefinition<Items>> = {}, pause = 0): CacheDefinition<Items> {
  return {
    name: 'items',
    resources: ['item'],
    async load(db) {
      const state: Items = new Map();
      for (const half of [0, 1]) {
        const rows = (await db.selectFrom('item').selectAll().execute()) as (Item & { id: number })[];
        for (const { id, name, n } of rows.filter((row) => row.id % 2 === half)) state.set(`${id}`, { name, n });
        await delay(pause);
      }
      return state;
    },
    apply(state, entry) {
      if (entry.change === 'DELETE') {
        state.delete(entry.id);
        return;
      }
      const { name, n } = { ...(state.get(entry.id) ?? { name: null, n: 0 }), ...(entry.values as Partial<Item>) };
      state.set(entry.id, { name, n });
    },
    ...more,
  };
}

function begin(definition: CacheDefinition<Items>): {
  cache: Cache<Items>;
  dispatcher: Dispatcher;
  started: Promise<void>;
} {
  const dispatcher = h.dispatcher();
  const cache = dispatcher.cache(definition);
  running.push(dispatcher);
  return { cache, dispatcher, started: dispatcher.start() };
}

async function table(): Promise<Items> {
  const { rows } = await h.owner.query<Item & { id: number }>('SELECT id, name, n FROM item ORDER BY id');
  return new Map(rows.map(({ id, name, n }) => [`${id}`, { name, n }]));
}

const sorted = (state: Items) => [...state].sort(([a], [b]) => Number(a) - Number(b));

async function writeAtRandom(until: () => boolean): Promise<void> {
  while (!until()) {
    const id = randomInt(40);
    const statement = [
      `INSERT INTO item VALUES (${id}, 'new') ON CONFLICT (id) DO UPDATE SET name = 'old'`,
      `UPDATE item SET n = n + 1 WHERE id = ${id}`,
      `UPDATE item SET n = n + 1 WHERE id = ${id}; SELECT pg_sleep(0.005); UPDATE item SET name = '${randomInt(1e6)}' WHERE id = ${(id + 7) % 40}`,
      `DELETE FROM item WHERE id = ${id}`,
    ][randomInt(4)] as string;
    await h.change(statement).catch((error) => {
      if (!/deadlock/.test(String(error))) throw error;
    });
  }
}

test('a cache that loads while others write is exact, and never shows a state older than one it has shown', async () => {
  let over = false;
  const writers = Array.from({ length: 4 }, () => writeAtRandom(() => over));
  const stepsBack: string[] = [];
  const caches: { cache: Cache<Items>; dispatcher: Dispatcher }[] = [];
  for (let n = 0; n < 8; n++) {
    const shown = new Map<string, number>();
    const definition = items({}, 20);
    const { cache, dispatcher, started } = begin({
      ...definition,
      apply(state, entry) {
        definition.apply(state, entry);
        if (entry.change === 'CREATE') shown.delete(entry.id);
      },
    });
    await started;
    caches.push({ cache, dispatcher });
    // the counter of a living row never goes down
    for (let look = 0; look < 40; look++) {
      for (const [id, item] of cache.state) {
        if (item.n < (shown.get(id) ?? 0)) stepsBack.push(`${id}: ${shown.get(id)} → ${item.n}`);
        shown.set(id, item.n);
      }
      await delay(2);
    }
  }
  over = true;
  await Promise.all(writers);
  const { head } = await frontier(h.app);
  const expected = [...(await table())];
  for (const { cache, dispatcher } of caches) {
    await dispatcher.waitFor(head, PATIENTLY);
    expect(sorted(cache.state)).toEqual(expected);
  }
  expect(stepsBack).toEqual([]);
});

test('a cache whose snapshot is ahead of what is safe is not shown before it has caught up', async () => {
  await h.change("INSERT INTO item VALUES (1, 'a'), (2, 'b')");
  const holder = await openTransaction(h.owner, 'UPDATE item SET n = 1 WHERE id = 2');
  await h.change("UPDATE item SET name = 'b' WHERE id = 1");
  await h.change("UPDATE item SET name = 'c' WHERE id = 1");
  const { cache, dispatcher, started } = begin(items());
  await waitUntil(() => dispatcher.status().caches[0]?.loads === 1, 'the snapshot is read');
  expect(cache.position).toBe(-1);
  expect(() => cache.state).toThrow(expect.objectContaining({ code: 'unavailable' }));
  await holder.end();
  await started;
  expect(sorted(cache.state)).toEqual([...(await table())]);
});

test('an open transaction that holds the tail does not keep a cache from loading when nothing was committed above it', async () => {
  await h.change("INSERT INTO item VALUES (1, 'a')");
  const holder = await openTransaction(h.owner, 'UPDATE item SET n = 5 WHERE id = 1');
  const { cache, dispatcher, started } = begin(items());
  await started;
  expect(cache.state.get('1')?.n).toBe(0);
  await holder.end();
  await dispatcher.waitFor((await frontier(h.app)).head, PATIENTLY);
  expect(cache.state.get('1')?.n).toBe(5);
});

test('a cache that cannot apply a change is marked broken, reported, and loaded anew', async () => {
  let throwing = true;
  const { cache, dispatcher, started } = begin(
    items({
      apply(state, entry) {
        if (throwing && entry.values['name'] === 'bad') {
          state.clear();
          throwing = false;
          throw new Error('cannot apply this');
        }
        items().apply(state, entry);
      },
    }),
  );
  await h.change("INSERT INTO item VALUES (1, 'good')");
  await started;
  const tid = await h.change("INSERT INTO item VALUES (2, 'bad')");
  await dispatcher.waitFor(tid, PATIENTLY);
  expect(sorted(cache.state).map(([id]) => id)).toEqual(['1', '2']);
  expect(dispatcher.status().caches).toEqual([expect.objectContaining({ state: 'loaded', loads: 2 })]);
  const logged = h.log.lines.filter(({ message }) => message === 'a cache could not apply a change');
  expect(logged.map(({ about }) => about)).toEqual([
    expect.objectContaining({ cache: 'items', tid, resource: 'item', id: '2' }),
  ]);
});

test('a cache that cannot be loaded keeps its readers out, and is tried again', async () => {
  let failures = 3;
  const definition = items();
  const { cache, started } = begin({
    ...definition,
    load: (db) => (failures-- > 0 ? Promise.reject(new Error('not now')) : definition.load(db)),
  });
  await waitUntil(() => failures < 2, 'loading has failed');
  expect(() => cache.state).toThrow(expect.objectContaining({ code: 'unavailable' }));
  await started;
  expect(cache.state.size).toBe(0);
});

test('what a load that has failed still asks for is not asked in the transactions of others', async () => {
  const database = Database.open({ url: h.test.url, poolSize: 1 });
  const log = new RecordedLog();
  const dispatcher = new Dispatcher({ database, origin: randomUUID(), name: 'test', version: '0', log });
  running.push(dispatcher);
  let fails = true;
  const load: CacheDefinition<Items>['load'] = async (db) => {
    if (!fails) return new Map();
    fails = false;
    await Promise.all(Array.from({ length: 50 }, () => sql`SELECT 1 / 0`.execute(db)));
    return new Map();
  };
  dispatcher.cache(items({ load }));
  const started = dispatcher.start();
  await waitUntil(() => !fails, 'the load begins');
  const work = runInTransaction(database, async (tx) => {
    for (let n = 0; n < 50; n++) await tx.query('SELECT 1');
    return 'done';
  });
  expect(await work).toBe('done');
  await started;
  await dispatcher.stop();
  await database.close();
});
