import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Generated, sql } from 'kysely';
import { Database } from '#libs/database';
import { changesOfTid, defineResource, type JournalEntry } from '#libs/journal';
import { createKernel, type Kernel } from '#libs/kernel';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { recordingLog } from './recording-log.ts';

// A host program with tables and a Kysely type of its own.
interface ShopTables {
  shop_order: { id: Generated<string>; customer: string; total: string; row_version: Generated<string> };
  basket: { id: Generated<number>; note: string };
}

const order = defineResource<{ id: number; customer: string; total: string; row_version: number }>({
  name: 'shop_order',
});

interface Shop {
  readonly test: TestDatabase;
  readonly database: Database<ShopTables>;
  readonly kernel: Kernel<ShopTables>;
  readonly seen: [string, JournalEntry][];
}

async function openShop(): Promise<Shop> {
  const test = await testDatabase();
  const owner = Database.open({ url: test.ownerUrl });
  await owner.query(`
    CREATE TABLE shop_order (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL, total numeric NOT NULL);
    CREATE TABLE basket (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
    SELECT tidemark.journal_table('shop_order', row_version => true);
    GRANT SELECT, INSERT, UPDATE, DELETE ON shop_order, basket TO tidemark_app`);
  await owner.close();
  const database = Database.open<ShopTables>({ url: test.url });
  const kernel = createKernel<ShopTables>({
    database,
    resources: [order],
    name: 'shop',
    log: recordingLog(),
  });
  const seen: [string, JournalEntry][] = [];
  kernel.listen({
    name: 'orders',
    resources: ['shop_order'],
    onPrimary: (entry) => void seen.push(['primary', entry]),
    onSecondary: (entry) => void seen.push(['secondary', entry]),
  });
  await kernel.start();
  return { test, database, kernel, seen };
}

async function closeShop({ test, database, kernel }: Shop): Promise<void> {
  await kernel.stop();
  await database.close();
  await test.drop();
}

describe('a host program', () => {
  let berlin: Shop;
  let oslo: Shop;

  beforeAll(async () => {
    [berlin, oslo] = await Promise.all([openShop(), openShop()]);
  });

  afterAll(async () => {
    await Promise.all([closeShop(berlin), closeShop(oslo)]);
  });

  it('journals its own Kysely transaction under an actor', async () => {
    const { kernel, database, seen } = berlin;
    await database.kysely.transaction().execute(async (trx) => {
      await kernel.join(trx, {
        author: 'mia',
        ipnr: '10.1.2.3',
        authenticated: true,
        comment: 'by phone',
        meta: { desk: 4 },
      });
      await trx.insertInto('basket').values({ note: 'not journaled' }).execute();
      await trx.insertInto('shop_order').values({ customer: 'Ola', total: '12.50' }).execute();
      await trx.updateTable('shop_order').set({ total: '13.00' }).where('customer', '=', 'Ola').execute();
    });
    kernel.wake();
    await waitUntil(() => seen.length === 2, 'both changes are told');

    expect(seen.map(([who, entry]) => [who, entry.change])).toEqual([
      ['primary', 'CREATE'],
      ['primary', 'MODIFY'],
    ]);
    const [first, second] = seen.map(([, entry]) => entry);
    expect(second?.txn).toBe(first?.tid);
    const [change] = await changesOfTid(database, second?.tid ?? 0);
    expect(change).toMatchObject({
      author: 'mia',
      ipnr: '10.1.2.3',
      authenticated: true,
      comment: 'by phone',
      meta: { desk: 4 },
      origin: kernel.origin,
      fields: { total: { old: 12.5, new: 13 } },
    });
  });

  it('journals nothing of its own transaction that rolls back', async () => {
    const { kernel, database } = berlin;
    const head = async () => (await database.query('SELECT count(*) AS n FROM shop_order_journal')).rows;
    const before = await head();
    const failing = database.kysely.transaction().execute(async (trx) => {
      await kernel.join(trx, { author: 'mia' });
      await trx.insertInto('shop_order').values({ customer: 'Per', total: '1' }).execute();
      throw new Error('no stock');
    });
    await expect(failing).rejects.toThrow('no stock');
    expect(await head()).toEqual(before);
  });

  it('leaves no actor behind on the connection', async () => {
    const { kernel, database } = oslo;
    let backend: unknown;
    await database.kysely.transaction().execute(async (trx) => {
      await kernel.join(trx, { author: 'mia' });
      backend = (await sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`.execute(trx)).rows[0]?.pid;
    });
    const { rows } = await database.query(
      `SELECT pg_backend_pid() AS pid, nullif(current_setting('tidemark.actor', true), '') AS actor`,
    );
    expect(rows).toEqual([{ pid: backend, actor: null }]);
  });

  it('cannot join outside a transaction, where the actor would be forgotten at once', async () => {
    const { kernel, database } = berlin;
    await expect(kernel.join(database.kysely as never, { author: 'mia' })).rejects.toMatchObject({
      code: 'invalid',
    });
  });

  it('stages its own builders in a ModelTransaction, typed by its own tables', async () => {
    const { kernel, database } = berlin;
    const { tid, result } = await kernel.transaction({ author: 'kim' }, async (tx) => {
      tx.create(order, { customer: 'Eva', total: '7' });
      tx.stage(database.kysely.insertInto('shop_order').values({ customer: 'Eva', total: '8' }));
      await tx.flush();
      return tx.read.selectFrom('shop_order').select('total').where('customer', '=', 'Eva').orderBy('total').execute();
    });
    expect(result).toEqual([{ total: '7' }, { total: '8' }]);
    expect(tid).not.toBeNull();
  });

  it('has two kernels on two databases in one process that do not know of each other', async () => {
    expect(berlin.kernel.origin).not.toBe(oslo.kernel.origin);
    expect(berlin.kernel.epoch).not.toBe(oslo.kernel.epoch);
    const customers = ({ seen }: Shop) => seen.map(([who, entry]) => `${who}: ${entry.values['customer']}`);
    await oslo.kernel.transaction({ author: 'liv' }, (tx) => void tx.create(order, { customer: 'Nils', total: '3' }));
    await waitUntil(() => customers(oslo).includes('primary: Nils'), 'the kernel in Oslo tells of it');
    await berlin.kernel.transaction({ author: 'kim' }, (tx) => void tx.create(order, { customer: 'Uwe', total: '4' }));
    await waitUntil(() => customers(berlin).includes('primary: Uwe'), 'the kernel in Berlin tells of it');
    expect(customers(oslo).join()).not.toContain('Uwe');
    expect(customers(berlin).join()).not.toContain('Nils');
  });
});
