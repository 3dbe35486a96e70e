import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import type { Effect, EffectListener } from '#libs/effects';
import { defineResource, type JournalEntry } from '#libs/journal';
import { createKernel, type Kernel } from '#libs/kernel';
import { RecordedLog } from '../dispatch/harness.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

interface Item {
  id: number;
  n: number;
  row_version: number;
}

const item = defineResource<Item>({ name: 'item' });
let test: TestDatabase;
let owner: Database;
let app: Database;
let kernels: Kernel[];

beforeEach(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl, poolSize: 2 });
  app = Database.open({ url: test.url, poolSize: 20 });
  kernels = [];
  await owner.query(`
    CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
    CREATE TABLE sent (key text);
    SELECT tidemark.journal_table('item', row_version => true);
    GRANT SELECT, INSERT, UPDATE, DELETE ON item, sent TO tidemark_app`);
});
afterEach(async () => {
  await Promise.all(kernels.map((kernel) => kernel.stop()));
  await Promise.all([owner.close(), app.close()]);
  await test.drop();
});

async function start(...listeners: EffectListener[]): Promise<Kernel> {
  const kernel = createKernel({ database: app, resources: [item], log: new RecordedLog() });
  for (const listener of listeners) kernel.listen(listener);
  await kernel.start();
  kernels.push(kernel);
  return kernel;
}

const create = (kernel: Kernel, id: number) =>
  kernel.transaction({ author: 'joe' }, (tx) => tx.create(item, { id })).then(({ tid }) => tid as number);
const change = (kernel: Kernel, id: number, n: number) =>
  kernel.transaction({ author: 'joe' }, (tx) => tx.save(item, id, { n })).then(({ tid }) => tid as number);

async function ledger(): Promise<{ listener: string; tid: number; state: string; attempts: number }[]> {
  const { rows } = await owner.query<{ listener: string; tid: number; state: string; attempts: number }>(
    'SELECT listener, tid, state, attempts FROM tidemark.effects ORDER BY tid, listener',
  );
  return rows;
}

const allDone = async (count: number) => {
  const rows = await ledger();
  return rows.length === count && rows.every(({ state }) => state === 'done');
};

function recorder(name: string, more: Partial<EffectListener> = {}) {
  const keys: string[] = [];
  const entries: JournalEntry[] = [];
  const listener: EffectListener = {
    name,
    onPrimary: (entry, effect) => {
      keys.push(effect.key);
      entries.push(entry);
    },
    ...more,
  };
  return { listener, keys, entries };
}

describe('an effect', () => {
  it('runs once, in the process that made the change, and is kept in the ledger', async () => {
    const [a, b] = [recorder('mail'), recorder('mail')];
    const one = await start(a.listener);
    await start(b.listener);
    const tids: number[] = [];
    for (let id = 1; id <= 20; id++) tids.push(await create(one, id));
    await waitUntil(() => allDone(20), 'all effects are done');
    expect(a.keys).toEqual(tids.map((tid, n) => `${tid}:item:${n + 1}:mail`));
    expect(b.keys).toEqual([]);
  });

  it('of a change without an origin runs in exactly one process', async () => {
    const [a, b] = [recorder('mail'), recorder('mail')];
    await start(a.listener);
    await start(b.listener);
    await owner.query('INSERT INTO item SELECT n FROM generate_series(1, 50) n');
    await waitUntil(() => allDone(50), 'all effects are done');
    expect(new Set([...a.keys, ...b.keys]).size).toBe(50);
    expect(a.keys.length + b.keys.length).toBe(50);
  });

  it('is not started for what the filter leaves out, nor for a muted change', async () => {
    const a = recorder('mail', { resources: ['item'], fields: ['n'] });
    const kernel = await start(a.listener);
    await create(kernel, 1);
    await owner.query(
      `BEGIN; SELECT set_config('tidemark.actor', '{"author":"i","meta":{"effects":false}}', true); UPDATE item SET n = 9; COMMIT`,
    );
    await change(kernel, 1, 1);
    await waitUntil(() => allDone(2), 'both effects are done');
    expect(a.entries.map((entry) => entry.change)).toEqual(['CREATE', 'MODIFY']);
  });

  it('that fails is tried again after a pause, under the same key, and holds up nobody', async () => {
    const keys: string[] = [];
    const calm = recorder('calm');
    const kernel = await start(calm.listener, {
      name: 'failing',
      onPrimary: (_, effect) => {
        keys.push(`${effect.key} ${effect.attempt}`);
        if (effect.attempt < 3) throw new Error('not yet');
      },
    });
    const tid = await create(kernel, 1);
    await waitUntil(() => allDone(2), 'both are done', 30_000);
    expect(keys).toEqual([1, 2, 3].map((attempt) => `${tid}:item:1:failing ${attempt}`));
    expect(calm.keys).toHaveLength(1);
  });

  it('is parked after its last attempt, with what it failed of', async () => {
    const kernel = await start({
      name: 'failing',
      attempts: 2,
      onPrimary: () => Promise.reject(new Error('never')),
    });
    await create(kernel, 1);
    await waitUntil(async () => (await ledger())[0]?.state === 'parked', 'it is parked', 30_000);
    const { rows } = await owner.query('SELECT attempts, last_error, holder FROM tidemark.effects');
    expect(rows).toEqual([{ attempts: 2, last_error: 'never', holder: null }]);
  });

  it('commits with its writes, or neither: a crash before the commit leaves both to the next attempt', async () => {
    let crashed = false;
    const kernel = await start({
      name: 'sending',
      onPrimary: (_, effect) =>
        effect.commit(async (writer) => {
          await writer.database.query('INSERT INTO sent VALUES ($1)', [effect.key]);
          if (!crashed) {
            crashed = true;
            throw new Error('crash');
          }
        }),
    });
    const tid = await create(kernel, 1);
    await waitUntil(() => allDone(1), 'it is done', 30_000);
    const { rows } = await owner.query('SELECT key FROM sent');
    expect(rows).toEqual([{ key: `${tid}:item:1:sending` }]);
  });
});

describe('a listener', () => {
  it('that is new begins at the head, or at the beginning when it says so', async () => {
    await owner.query('INSERT INTO item SELECT n FROM generate_series(1, 3000) n');
    const late = recorder('late');
    const early = recorder('early', { start: 'beginning' });
    const kernel = await start(late.listener, early.listener);
    await create(kernel, 9_999);
    await waitUntil(() => allDone(3_002), 'all are done', 60_000);
    expect([late.keys.length, early.keys.length]).toEqual([1, 3_001]);
  });

  it('gets after a restart what happened while nobody ran', async () => {
    const kernel = await start(recorder('mail').listener);
    await create(kernel, 1);
    await waitUntil(() => allDone(1), 'the first is done');
    await kernel.stop();
    await owner.query('INSERT INTO item VALUES (2)');
    const again = recorder('mail');
    await start(again.listener);
    await waitUntil(() => allDone(2), 'the second is done');
    expect(again.keys).toHaveLength(1);
  });

  it('is told of the changes of one row in order, also when it runs many at once', async () => {
    const seen = new Map<string, number[]>();
    const kernel = await start({
      name: 'slow',
      concurrency: 50,
      onPrimary: async ({ id, tid }: JournalEntry) => {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
        seen.set(id, [...(seen.get(id) ?? []), tid]);
      },
    });
    for (let id = 1; id <= 5; id++) await create(kernel, id);
    await Promise.all(Array.from({ length: 200 }, (_, n) => change(kernel, 1 + (n % 5), n + 1)));
    await waitUntil(() => allDone(205), 'all are done', 30_000);
    for (const tids of seen.values()) expect(tids).toEqual([...tids].sort((a, b) => a - b));
    expect([...seen.values()].flat()).toHaveLength(205);
  });

  it('that calls forth its own changes is cut off as a loop', async () => {
    const kernel: Kernel = await start({
      name: 'echo',
      onPrimary: async (entry: JournalEntry, effect: Effect) => {
        await kernel.transaction(effect.actor({ author: 'echo' }), (tx) => tx.save(item, 1, { n: entry.tid }));
      },
    });
    await create(kernel, 1);
    await waitUntil(async () => (await ledger()).some(({ state }) => state === 'parked'), 'the loop is cut', 30_000);
    const rows = await ledger();
    expect(rows.filter(({ state }) => state === 'done')).toHaveLength(16);
    const { rows: last } = await owner.query(`SELECT last_error FROM tidemark.effects WHERE state = 'parked'`);
    expect(last[0]?.['last_error']).toContain('loop');
  });
});
