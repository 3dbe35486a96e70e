import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Dispatcher, Listener } from '#libs/dispatch';
import type { JournalEntry } from '#libs/journal';
import { PATIENTLY, waitUntil } from '../support/wait-until.ts';
import { type Harness, harness } from './harness.ts';

let h: Harness;
const running: Dispatcher[] = [];
let lastId = 0;

beforeAll(async () => {
  h = await harness();
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((dispatcher) => dispatcher.stop()));
});

afterAll(() => h.close());

async function start(listeners: Listener[], options: { origin?: string } = {}) {
  const dispatcher = h.dispatcher(options);
  for (const listener of listeners) dispatcher.listen(listener);
  await dispatcher.start();
  running.push(dispatcher);
  return dispatcher;
}

/** A listener that remembers what it was told. */
function recorder(name: string, more: Partial<Listener> = {}) {
  const secondary: JournalEntry[] = [];
  const listener: Listener = {
    name,
    onSecondary: (entry) => void secondary.push(entry),
    ...more,
  };
  return { listener, secondary };
}

const insert = (rows = 1) => {
  lastId += rows;
  return `INSERT INTO item SELECT n, 'x' FROM generate_series(${lastId - rows + 1}, ${lastId}) n`;
};
const tids = (entries: readonly JournalEntry[]) => entries.map((entry) => entry.tid);

describe('listeners', () => {
  test('one that throws and one that hangs delay neither the tail nor each other', async () => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const calm = recorder('calm');
    const slow: number[] = [];
    const dispatcher = await start([
      {
        name: 'throwing',
        onSecondary: () => {
          throw new Error('no');
        },
      },
      {
        name: 'slow',
        onSecondary: async (entry) => {
          await released;
          slow.push(entry.tid);
        },
      },
      {
        name: 'rejecting',
        onSecondary: async () => {
          throw new Error('later');
        },
      },
      calm.listener,
    ]);
    const made: number[] = [];
    for (let n = 0; n < 5; n++) made.push(await h.change(insert()));
    await dispatcher.waitFor(made.at(-1) as number, PATIENTLY);
    await waitUntil(() => calm.secondary.length === 5, 'the calm one has been told');
    expect(tids(calm.secondary)).toEqual(made);
    await waitUntil(
      () => dispatcher.status().listeners.filter(({ failed }) => failed === 5).length === 2,
      'two have failed 5 times',
    );
    const [throwing, , rejecting] = dispatcher.status().listeners;
    expect(throwing).toMatchObject({ name: 'throwing', delivered: 0, failed: 5, lastError: 'no' });
    expect(rejecting).toMatchObject({ name: 'rejecting', delivered: 0, failed: 5, lastError: 'later' });
    const logged = h.log.lines.filter(({ about }) => about['listener'] === 'throwing').map(({ about }) => about);
    expect(logged).toEqual(
      made.map((tid, n) => expect.objectContaining({ tid, resource: 'item', id: `${lastId - 4 + n}` })),
    );
    expect(slow).toEqual([]);
    release();
    await waitUntil(() => slow.length === 5, 'the slow one has been told');
    expect(slow).toEqual(made);
  });

  test('one that falls far behind catches up from the journal: each change once, in order', async () => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const told: string[] = [];
    const dispatcher = await start([
      {
        name: 'behind',
        onSecondary: async (entry) => {
          if (told.length === 0) await released;
          told.push(`${entry.tid} ${entry.id}`);
        },
      },
    ]);
    const first = await h.change(insert());
    let last = 0;
    for (let n = 0; n < 12; n++) last = await h.change(insert(1_500));
    await dispatcher.waitFor(last, PATIENTLY);
    release();
    for (let n = 0; n < 20; n++) last = await h.change(insert());
    await waitUntil(() => told.length >= 18_021, 'it has caught up');
    const { rows } = await h.owner.query<{ key: string }>(
      "SELECT tid || ' ' || id AS key FROM tidemark.journal WHERE tid BETWEEN $1 AND $2 ORDER BY tid, id",
      [first, last],
    );
    expect(told).toEqual(rows.map((row) => row.key));
  });

  test('are told of nothing that was committed before the start', async () => {
    await h.change(insert());
    const { listener, secondary } = recorder('late');
    await start([listener]);
    const tid = await h.change(insert());
    await waitUntil(() => secondary.length > 0, 'it has been told');
    expect(tids(secondary)).toEqual([tid]);
  });

  test('filters by resource and by changed field; a CREATE and a DELETE always count', async () => {
    const named = recorder('named', { fields: ['name'] });
    const elsewhere = recorder('elsewhere', { resources: ['other'] });
    const dispatcher = await start([named.listener, elsewhere.listener]);
    const made = [await h.change(insert())];
    await h.change(`UPDATE item SET n = n + 1 WHERE id = ${lastId}`);
    made.push(await h.change(`UPDATE item SET name = 'y' WHERE id = ${lastId}`));
    made.push(await h.change(`DELETE FROM item WHERE id = ${lastId}`));
    await dispatcher.waitFor(made[2] as number, PATIENTLY);
    await waitUntil(() => named.secondary.length === 3, 'three changes have come');
    expect(tids(named.secondary)).toEqual(made);
    expect(elsewhere.secondary).toEqual([]);
  });

  test('finish what they were given before stop returns', async () => {
    const told: number[] = [];
    const dispatcher = await start([
      {
        name: 'unhurried',
        onSecondary: async (entry) => {
          await new Promise((done) => setTimeout(done, 20));
          told.push(entry.tid);
        },
      },
    ]);
    const made: number[] = [];
    for (let n = 0; n < 10; n++) made.push(await h.change(insert()));
    await dispatcher.stop();
    expect(told).toEqual(made);
  });
});

describe('secondary', () => {
  test('are, in each process, the changes of all others, each once and in order', async () => {
    const origins = Array.from({ length: 4 }, () => randomUUID());
    const recorders = origins.map((origin) => recorder(origin));
    const dispatchers = await Promise.all(
      origins.map((origin, n) => start([recorders[n]?.listener as Listener], { origin })),
    );
    const made: { tid: number; origin: string | undefined; rows: number }[] = [];
    for (let n = 0; n < 60; n++) {
      const origin = [...origins, randomUUID(), undefined][n % 6];
      const rows = n % 3 ? 1 : 3;
      made.push({ tid: await h.change(insert(rows), origin === undefined ? {} : { origin }), origin, rows });
    }
    await Promise.all(dispatchers.map((dispatcher) => dispatcher.waitFor(made.at(-1)?.tid as number)));
    for (const [n, origin] of origins.entries()) {
      const expected = made.filter((one) => one.origin !== origin).flatMap(({ tid, rows }) => Array(rows).fill(tid));
      const { secondary } = recorders[n] as { secondary: JournalEntry[] };
      await waitUntil(() => secondary.length === expected.length, 'it has been told of everything');
      expect(tids(secondary)).toEqual(expected);
      expect(new Set(secondary.map((entry) => `${entry.tid} ${entry.id}`)).size).toBe(expected.length);
    }
  });

  test('are muted changes, too', async () => {
    const [own, other] = [recorder('own'), recorder('other')];
    const dispatcher = await start([own.listener]);
    await start([other.listener]);
    const { origin } = dispatcher as Dispatcher & { origin: string };
    const muted = await h.change(insert(), { origin, meta: { effects: false } });
    await waitUntil(() => other.secondary.length > 0, 'the other has been told');
    expect(tids(other.secondary)).toEqual([muted]);
    expect(own.secondary).toEqual([]);
  });
});

describe('waitFor', () => {
  test('returns once the tail and all caches have applied the tid', async () => {
    const dispatcher = h.dispatcher();
    const cache = dispatcher.cache<Map<string, unknown>>({
      name: 'items',
      resources: ['item'],
      load: async () => new Map(),
      apply: (state, entry) => void state.set(entry.id, entry.values['n']),
    });
    await dispatcher.start();
    running.push(dispatcher);
    for (let n = 1; n <= 50; n++) {
      const tid = await h.change(n === 1 ? insert() : `UPDATE item SET n = ${n} WHERE id = ${lastId}`);
      await dispatcher.waitFor(tid, PATIENTLY);
      expect(cache.position).toBeGreaterThanOrEqual(tid);
      expect(cache.state.get(`${lastId}`)).toBe(n === 1 ? 0 : n);
    }
  });

  test('refuses what is no tid or lies beyond the end of the journal, at once', async () => {
    const dispatcher = await start([]);
    const tid = await h.change(insert());
    await expect(dispatcher.waitFor(tid + 1_000_000)).rejects.toMatchObject({ code: 'malformed' });
    await expect(dispatcher.waitFor(-1)).rejects.toMatchObject({ code: 'malformed' });
    await expect(dispatcher.waitFor(1.5)).rejects.toMatchObject({ code: 'malformed' });
    await dispatcher.waitFor(0, PATIENTLY);
  });
});
