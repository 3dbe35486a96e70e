import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eq, sql } from 'drizzle-orm';
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import { bigint, integer, pgTable, text } from 'drizzle-orm/pg-core';
import pg from 'pg';
import { changesOf, defineResource, type JournalEntry } from '#libs/journal';
import { createKernel, type Kernel } from '#libs/kernel';
import { settled, type TestDatabase, testDatabase } from '#libs/testing';
import type { TestServer } from '../support/test-database.ts';
import { PATIENTLY } from '../support/wait-until.ts';

const { adminUrl: server } = JSON.parse(process.env['TEST_SERVER'] as string) as TestServer;

/** The table as a program knows it that has never heard of Tidemark. */
const orders = pgTable('shop_order', {
  id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  customer: text('customer').notNull(),
  cents: integer('cents').notNull(),
});

let test: TestDatabase;
let pool: pg.Pool;
let orm: NodePgDatabase;
let kernel: Kernel;
const told: [string, JournalEntry][] = [];

beforeAll(async () => {
  test = await testDatabase({ server });
  const owner = new pg.Pool({ connectionString: test.ownerUrl, max: 1 });
  await owner.query(`
    CREATE TABLE shop_order (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL UNIQUE, cents integer NOT NULL
    );
    SELECT tidemark.journal_table('shop_order', row_version => true);
    GRANT SELECT, INSERT, UPDATE, DELETE ON shop_order TO tidemark_app`);
  await owner.end();
  pool = new pg.Pool({ connectionString: test.url });
  orm = drizzle(pool);
  kernel = createKernel({ connection: test.url, resources: [defineResource({ name: 'shop_order' })] });
  kernel.listen({
    name: 'orders',
    onPrimary: (entry) => void told.push(['primary', entry]),
    onSecondary: (entry) => void told.push(['secondary', entry]),
  });
  await kernel.start();
});

afterAll(async () => {
  await kernel.close();
  await pool.end();
  await test.drop();
});

/** What the listener was told since the last time. */
async function news(): Promise<string[]> {
  await settled(kernel, PATIENTLY);
  const all = told.splice(0);
  const lines = (standing: string) =>
    all
      .filter(([as]) => as === standing)
      .map(([, { change, author, origin }]) => `${change} by ${author} from ${origin}`);
  // nobody's own: this process, the only one, has adopted the effects
  expect(lines('primary').sort()).toEqual(lines('secondary').sort());
  return lines('secondary');
}

describe("another program's ORM", () => {
  let id: number;

  it("is journaled with the database role as author, and seen as nobody's own", async () => {
    const [row] = await orm.insert(orders).values({ customer: 'Eva', cents: 100 }).returning();
    id = row?.id as number;
    await orm.update(orders).set({ cents: 250 }).where(eq(orders.id, id));
    expect(await news()).toEqual([`CREATE by ${test.name} from null`, `MODIFY by ${test.name} from null`]);
    const changes = await changesOf(kernel.database, 'shop_order', String(id), { limit: 10 });
    expect(changes.map(({ fields }) => fields)).toEqual([
      { cents: { old: 100, new: 250 } },
      { id: { old: null, new: id }, customer: { old: null, new: 'Eva' }, cents: { old: null, new: 100 } },
    ]);
  });

  it('is journaled in upserts of many rows, each by what became of it', async () => {
    await orm
      .insert(orders)
      .values([
        { customer: 'Eva', cents: 300 },
        { customer: 'Bo', cents: 1 },
      ])
      .onConflictDoUpdate({ target: orders.customer, set: { cents: sql`excluded.cents` } });
    expect((await news()).map((line) => line.split(' ')[0]).sort()).toEqual(['CREATE', 'MODIFY']);
  });

  it('is journaled in its transactions, and not in those that it rolls back', async () => {
    await orm
      .transaction(async (tx) => {
        await tx.update(orders).set({ cents: 0 });
        tx.rollback();
      })
      .catch(() => undefined);
    expect(await news()).toEqual([]);
    await orm.transaction(async (tx) => {
      await tx.update(orders).set({ cents: 7 }).where(eq(orders.id, id));
      await tx.delete(orders).where(eq(orders.customer, 'Bo'));
    });
    expect((await news()).map((line) => line.split(' ')[0])).toEqual(['MODIFY', 'DELETE']);
  });

  it('can say who acts, in its own transaction', async () => {
    await orm.transaction(async (tx) => {
      await tx.execute(sql`SELECT set_config('tidemark.actor', '{"author": "joe"}', true)`);
      await tx.update(orders).set({ cents: 8 }).where(eq(orders.id, id));
    });
    expect(await news()).toEqual(['MODIFY by joe from null']);
  });
});
