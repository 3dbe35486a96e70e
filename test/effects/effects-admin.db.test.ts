import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import {
  discardEffects,
  type EffectListener,
  effectKey,
  findEffect,
  listEffects,
  listListeners,
  parseEffectKey,
  pauseListener,
  removeListener,
  resetListener,
  retryEffects,
} from '#libs/effects';
import { defineResource } from '#libs/journal';
import { createKernel, type Kernel } from '#libs/kernel';
import { RecordedLog } from '../dispatch/harness.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

const item = defineResource<{ id: number; n: number }>({ name: 'item', versioned: false });
let test: TestDatabase;
let app: Database;
let nextId = 1;
const kernels: Kernel[] = [];

beforeAll(async () => {
  test = await testDatabase();
  const owner = Database.open({ url: test.ownerUrl, poolSize: 1 });
  await owner.query(`CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0); SELECT tidemark.journal_table('item');
    GRANT SELECT, INSERT, UPDATE, DELETE ON item TO tidemark_app`);
  await owner.close();
  app = Database.open({ url: test.url, poolSize: 20 });
});
afterEach(async () => {
  await Promise.all(kernels.splice(0).map((kernel) => kernel.stop()));
});
afterAll(async () => {
  await app.close();
  await test.drop();
});

async function start(...listeners: EffectListener[]): Promise<Kernel> {
  const kernel = createKernel({ database: app, resources: [item], log: new RecordedLog() });
  for (const listener of listeners) kernel.listen(listener);
  await kernel.start();
  kernels.push(kernel);
  return kernel;
}

const create = (kernel: Kernel) => {
  const id = nextId++;
  return kernel.transaction({ author: 'joe' }, (tx) => tx.create(item, { id })).then(({ tid }) => `${tid}:item:${id}`);
};
const stateOf = async (key: string) => (await findEffect(app, key).catch(() => undefined))?.state;
const reached = (key: string, state: string) =>
  waitUntil(async () => (await stateOf(key)) === state, `${key} is ${state}`, 30_000);

describe('the key of an effect', () => {
  it.each([
    { tid: 7, resource: 'item', id: '1', listener: 'mail' },
    { tid: 7, resource: 'pair', id: '["a:b",2]', listener: 'Shop.on-change' },
    { tid: 7, resource: 'item', id: '', listener: 'x' },
  ])('says which: %j', (effect) => {
    expect(parseEffectKey(effectKey(effect))).toEqual(effect);
  });

  it.each(['', '7', '7:item:1', 'x:item:1:mail', '7::1:mail', '7:item:1:ma il'])('%j is none', async (key) => {
    expect(parseEffectKey(key)).toBeUndefined();
    await expect(findEffect(app, key)).rejects.toMatchObject({ code: 'invalid' });
  });
});

describe('an effect that is parked', () => {
  it('is listed with what it failed of, and done after a retry', async () => {
    let broken = true;
    const kernel = await start({
      name: 'mended',
      attempts: 1,
      onPrimary: () => {
        if (broken) throw new Error('out of order');
      },
    });
    const key = `${await create(kernel)}:mended`;
    await reached(key, 'parked');
    const [listed] = await listEffects(app, { listener: 'mended', state: 'parked', limit: 10 });
    expect(listed).toMatchObject({ key, attempts: 1, last_error: 'out of order', due: null, running: false });
    expect(listed?.ran_by).toMatch(/^tidemark on .* \(\d+\)$/);
    broken = false;
    expect(await retryEffects(app, key)).toBe(1);
    await reached(key, 'done');
    expect(await retryEffects(app, key)).toBe(0);
    expect(await discardEffects(app, key)).toBe(0);
  });

  it('is given up by discard, and never tried again', async () => {
    const kernel = await start({ name: 'hopeless', attempts: 1, onPrimary: () => Promise.reject(new Error('no')) });
    const keys = [`${await create(kernel)}:hopeless`, `${await create(kernel)}:hopeless`];
    for (const key of keys) await reached(key, 'parked');
    expect(await discardEffects(app, { listener: 'hopeless' })).toBe(2);
    expect(await retryEffects(app, { listener: 'hopeless' })).toBe(0);
    expect(await Promise.all(keys.map(stateOf))).toEqual(['discarded', 'discarded']);
  });
});

it('an effect tells of each attempt: the one that was lost with its process, and those that failed', async () => {
  let attempts = 0;
  const kernel = await start({ name: 'storied', onPrimary: () => undefined });
  const change = await create(kernel);
  const [tid, , id] = change.split(':');
  await reached(`${change}:storied`, 'done');
  await kernel.stop();
  await app.query(
    `UPDATE tidemark.effects SET state = 'pending', holder = gen_random_uuid(), ran_by = 'tidemark on gone (1)', origin = NULL
       WHERE listener = 'storied' AND tid = $1 AND id = $2`,
    [tid, id],
  );
  await start({
    name: 'storied',
    onPrimary: () => {
      attempts += 1;
      if (attempts === 1) throw new Error('a byte that no text may hold: \0');
    },
  });
  await reached(`${change}:storied`, 'done');
  const { past, author, ran_by, last_error } = await findEffect(app, `${change}:storied`);
  expect(past).toEqual([
    { what: 'lost', at: expect.any(String), by: 'tidemark on gone (1)', started: expect.any(String), error: null },
    {
      what: 'failed',
      at: expect.any(String),
      by: ran_by,
      started: expect.any(String),
      error: expect.stringMatching(/^a byte/),
    },
  ]);
  expect([author, last_error]).toEqual(['joe', null]);
});

it('an effect that was taken and not begun is given back by a process that stops, as if nobody had taken it', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const kernel = await start({ name: 'queued', concurrency: 1, onPrimary: () => promise });
  const [first, second] = [`${await create(kernel)}:queued`, `${await create(kernel)}:queued`];
  await waitUntil(
    async () => (await findEffect(app, second).catch(() => undefined))?.running === true,
    'both are taken',
  );
  const stopped = kernel.stop();
  resolve();
  await stopped;
  expect(await stateOf(first)).toBe('done');
  expect(await findEffect(app, second)).toMatchObject({
    state: 'pending',
    attempts: 0,
    started: null,
    ran_by: null,
    past: [],
  });
});

it('an effect that never succeeds keeps the latest 50 of its attempts', async () => {
  const kernel = await start({ name: 'long', attempts: 1, onPrimary: () => Promise.reject(new Error('no')) });
  const key = `${await create(kernel)}:long`;
  await reached(key, 'parked');
  await app.query(
    `UPDATE tidemark.effects SET past = (SELECT jsonb_agg(n) FROM generate_series(1, 50) n) WHERE listener = 'long'`,
  );
  await retryEffects(app, key);
  await reached(key, 'parked');
  const { past } = await findEffect(app, key);
  expect(past.slice(0, 2)).toEqual([3, 4]);
  expect(past.slice(-2)).toMatchObject([{ what: 'retried' }, { what: 'failed' }]);
});

it('an effect that is discarded while it runs ends in vain, and a retry leaves a running one alone', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const kernel = await start({ name: 'running', onPrimary: () => promise });
  const [one, two] = [`${await create(kernel)}:running`, `${await create(kernel)}:running`];
  for (const key of [one, two]) {
    await waitUntil(async () => (await findEffect(app, key).catch(() => undefined))?.running === true, 'it runs');
  }
  expect(await retryEffects(app, one)).toBe(0);
  expect(await discardEffects(app, two)).toBe(1);
  resolve();
  await reached(one, 'done');
  expect(await stateOf(two)).toBe('discarded');
});

it('effects are paged, those of the latest changes first', async () => {
  const kernel = await start({ name: 'paged', onPrimary: () => undefined });
  const keys: string[] = [];
  for (let n = 0; n < 7; n++) keys.unshift(`${await create(kernel)}:paged`);
  for (const key of keys) await reached(key, 'done');
  const found: string[] = [];
  for (let after: Awaited<ReturnType<typeof listEffects>>[number] | undefined; ; ) {
    const page = await listEffects(app, { listener: 'paged', limit: 3, after });
    found.push(...page.map(({ key }) => key));
    if (page.length < 3) break;
    after = page.at(-1);
  }
  expect(found).toEqual(keys);
  expect(await listEffects(app, { listener: 'paged', olderThan: 3_600, limit: 10 })).toEqual([]);
});

describe('a listener', () => {
  it('that is paused begins nothing in any process, and goes on when it is resumed', async () => {
    const seen: string[] = [];
    const listener: EffectListener = { name: 'pausable', onPrimary: (_, { key }) => void seen.push(key) };
    const [one, two] = [await start(listener), await start(listener)];
    await pauseListener(app, 'pausable', true);
    const keys: string[] = [];
    for (let n = 0; n < 20; n++) keys.push(`${await create(n % 2 ? one : two)}:pausable`);
    await app.query(`INSERT INTO item SELECT n FROM generate_series(100000, 100019) n`);
    await waitUntil(
      async () => (await listEffects(app, { listener: 'pausable', state: 'pending', limit: 100 })).length === 40,
      'all are entered',
    );
    expect(seen).toEqual([]);
    expect((await listListeners(app)).find((row) => row.listener === 'pausable')).toMatchObject({
      ...{ paused: true, pending: 40, failed: 0, parked: 0, done: 0, processes: 2 },
    });
    await pauseListener(app, 'pausable', false);
    await waitUntil(() => seen.length === 40, 'all are done');
    expect(new Set(seen).size).toBe(40);
  });

  it('that is set back repeats nothing, and enters what it had passed over', async () => {
    const seen: string[] = [];
    const kernel = await start({ name: 'movable', onPrimary: (_, { key }) => void seen.push(key) });
    const first = await create(kernel);
    await reached(`${first}:movable`, 'done');
    await kernel.stop();
    const [missed] = await listEffects(app, { limit: 1 });
    await app.query('INSERT INTO item VALUES (200000)');
    const { to } = await resetListener(app, 'movable', 'head');
    expect(to).toBeGreaterThan(missed?.tid ?? 0);
    await start({ name: 'movable', onPrimary: (_, { key }) => void seen.push(key) });
    const { from } = await resetListener(app, 'movable', Number(first.split(':')[0]) - 1);
    expect(from).toBe(to);
    await waitUntil(
      () => seen.some((key) => key.includes(':200000:')),
      'the change that was passed over has its effect',
    );
    expect(seen.filter((key) => key === `${first}:movable`)).toHaveLength(1);
  });

  it('that no process has is removed: what is not done is given up, and it begins anew', async () => {
    const remove = (listener: string, really: boolean) =>
      removing.atomic(({ database }) => removeListener(database, listener, really));
    const removing = await start();
    const kernel = await start({ name: 'gone', attempts: 1, onPrimary: () => Promise.reject(new Error('no')) });
    const key = `${await create(kernel)}:gone`;
    await reached(key, 'parked');
    await expect(remove('gone', true)).rejects.toMatchObject({
      ...{
        code: 'conflict',
        message: expect.stringMatching(/^gone is served by tidemark on .*: it can be removed once/),
      },
    });
    await kernel.stop();
    await expect(remove('gone', false)).rejects.toMatchObject({
      message: 'gone is removed only with --yes: its position is forgotten, and its effect that is not done given up',
    });
    expect(await stateOf(key)).toBe('parked');
    expect(await remove('gone', true)).toBe(1);
    expect(await stateOf(key)).toBe('discarded');
    expect((await listListeners(app)).map(({ listener }) => listener)).not.toContain('gone');
    await expect(remove('gone', true)).rejects.toMatchObject({ code: 'not_found' });
    await create(removing);
    const again: string[] = [];
    const back = await start({ name: 'gone', onPrimary: (_, effect) => void again.push(effect.key) });
    const next = `${await create(back)}:gone`;
    await reached(next, 'done');
    expect(again).toEqual([next]);
  });

  it.each(['removes it', 'fails'])(
    'begins anew in a process that starts while a removal is under way, which %s',
    async (end) => {
      const removing = await start();
      const first = await start({ name: 'race', onPrimary: () => undefined });
      await first.stop();
      const removed = Promise.withResolvers<void>();
      const waiting = Promise.withResolvers<void>();
      const removal = removing.atomic(async ({ database }) => {
        await removeListener(database, 'race', true);
        removed.resolve();
        await waiting.promise;
        if (end === 'fails') throw new Error('the end');
      });
      await removed.promise;
      const second = start({ name: 'race', onPrimary: () => undefined });
      const waits = async () => {
        const { rowCount } = await app.query(
          `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO tidemark.listener_positions%'
           AND datname = current_database()`,
        );
        return rowCount > 0;
      };
      await waitUntil(waits, 'it waits to add its position');
      waiting.resolve();
      await removal.catch(() => undefined);
      const kernel = await second;
      await reached(`${await create(kernel)}:race`, 'done');
    },
  );

  it('that the process of a change does not have runs in one that has it, while both live', async () => {
    const seen: string[] = [];
    const without = await start({ name: 'another', onPrimary: () => undefined });
    await start({ name: 'elsewhere', onPrimary: (_, { key }) => void seen.push(key) });
    const key = `${await create(without)}:elsewhere`;
    await waitUntil(() => seen.includes(key), 'it has run');
  });

  it('that nobody knows can neither be paused nor set, nor set beyond the journal', async () => {
    await expect(pauseListener(app, 'nobody', true)).rejects.toMatchObject({ code: 'not_found' });
    await expect(resetListener(app, 'nobody', 'head')).rejects.toMatchObject({ code: 'not_found' });
    await expect(resetListener(app, 'movable', 10 ** 12)).rejects.toMatchObject({ code: 'invalid' });
  });

  it.each(['', 'a b', 'a:b', 'ä', 'x'.repeat(201)])('cannot be called %j', async (name) => {
    await expect(start({ name, onPrimary: () => undefined })).rejects.toMatchObject({ code: 'configuration' });
  });
});
