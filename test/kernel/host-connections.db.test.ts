import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { type Generated, Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { Database } from '#libs/database';
import { changesOf, defineResource } from '#libs/journal';
import { createKernel } from '#libs/kernel';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

interface ShopTables {
  shop_order: { id: Generated<string>; customer: string };
}

const order = defineResource<{ id: string; customer: string }>({ name: 'shop_order', table: 'shop.shop_order' });

let test: TestDatabase;
const opened: (() => Promise<void>)[] = [];

/** What has to be closed also when the test fails. */
function open<T extends { close(): Promise<void> } | { end(): Promise<void> }>(made: T): T {
  opened.push(() => ('close' in made ? made.close() : made.end()));
  return made;
}

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close().catch(() => undefined);
});

beforeAll(async () => {
  test = await testDatabase();
  const owner = Database.open({ url: test.ownerUrl });
  await owner.query(`
    CREATE SCHEMA shop;
    CREATE TABLE shop.shop_order (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL);
    SELECT tidemark.journal_table('shop.shop_order', row_version => true);
    GRANT USAGE ON SCHEMA shop TO tidemark_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON shop.shop_order TO tidemark_app`);
  await owner.close();
});

afterAll(() => test.drop());

describe("a kernel on the host's own pool", () => {
  it('works on the connections of the pool, reads values as the pool does, and does not end it', async () => {
    const types = {
      getTypeParser: (oid: number, format?: 'text') =>
        oid === pg.types.builtins.INT8 ? (digits: string) => `#${digits}` : pg.types.getTypeParser(oid, format),
    } as pg.CustomTypesConfig;
    const pool = open(new pg.Pool({ connectionString: test.url, max: 3, application_name: 'host', types }));
    // a session as the host wants it, which no option tells of
    pool.on('connect', (client) => void client.query('SET search_path = shop'));
    const kernel = open(createKernel<ShopTables>({ pool, resources: [order], name: 'on a pool' }));
    const seen: string[] = [];
    kernel.listen({ name: 'orders', onPrimary: ({ id, change }) => void seen.push(`${change} ${id}`) });
    await kernel.start();

    const { result, tid } = await kernel.transaction({ author: 'kim' }, (tx) => tx.create(order, { customer: 'Eva' }));
    expect(tid).toEqual(expect.any(Number));
    const rows = await kernel.db.selectFrom('shop_order').select(['id', 'customer']).execute();
    expect(rows).toEqual([{ id: `#${result.row.id}`, customer: 'Eva' }]);
    await Promise.all(
      ['Ann', 'Bob', 'Cy'].map((customer) =>
        kernel.transaction({ author: customer }, (tx) => tx.save(order, result.row.id, { customer })),
      ),
    );
    await kernel.db.transaction().execute(async (trx) => {
      await kernel.join(trx, { author: 'mia' });
      await trx.insertInto('shop_order').values({ customer: 'Ola' }).execute();
    });
    kernel.wake();
    await waitUntil(() => seen.length === 5, 'all changes are told');
    const { rows: sessions } = await pool.query(
      `SELECT application_name AS name, count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() GROUP BY 1 ORDER BY 1`,
    );
    // tail and doorbell alone stand beside the pool
    expect(sessions).toEqual([
      { name: 'host', n: 3 },
      { name: 'on a pool', n: 2 },
    ]);

    await kernel.close();
    expect((await pool.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
    await pool.end();
  });

  it("joins a transaction of the host's own Kysely", async () => {
    const pool = open(new pg.Pool({ connectionString: test.url, options: '-c search_path=shop', max: 2 }));
    const kysely = new Kysely<ShopTables>({ dialect: new PostgresDialect({ pool }) });
    const kernel = open(createKernel<ShopTables>({ pool, resources: [order] }));
    await kernel.start();
    const id = await kysely.transaction().execute(async (trx) => {
      await kernel.join(trx, { author: 'joe', comment: 'by hand' });
      return (await trx.insertInto('shop_order').values({ customer: 'Jo' }).returning('id').executeTakeFirstOrThrow())
        .id;
    });
    const [change] = await changesOf(kernel.database, 'shop_order', String(id), { limit: 1 });
    expect(change).toMatchObject({ id, author: 'joe', comment: 'by hand', origin: kernel.origin });
    await kernel.close();
    await kysely.destroy();
  });

  it('survives a connection that breaks while it is held', async () => {
    const pool = open(new pg.Pool({ connectionString: test.url, max: 2, application_name: 'broken' }));
    pool.on('error', () => undefined);
    const kernel = open(createKernel<ShopTables>({ pool, resources: [order] }));
    const owner = Database.open({ url: test.ownerUrl, poolSize: 1 });
    const broken = kernel.transaction({ author: 'kim' }, async (tx) => {
      tx.create(order, { customer: 'Nobody' });
      await tx.flush();
      await owner.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'broken'`);
      await waitUntil(async () => {
        const { rows } = await owner.query(`SELECT FROM pg_stat_activity WHERE application_name = 'broken'`);
        return rows.length === 0;
      }, 'the connection is gone');
    });
    await expect(broken).rejects.toMatchObject({ code: 'unavailable' });
    await owner.close();
    await kernel.close();
    await pool.end();
  });
});

describe('a kernel on connections of its own', () => {
  it('opens them by a connection string, and closes them', async () => {
    const kernel = open(createKernel<ShopTables>({ connection: test.url, resources: [order] }));
    await kernel.start();
    const { tid } = await kernel.transaction({ author: 'kim' }, (tx) => void tx.create(order, { customer: 'Eva' }));
    expect(tid).toEqual(expect.any(Number));
    await kernel.close();
    await kernel.close();
    await expect(kernel.database.query('SELECT 1')).rejects.toThrow();
  });

  it('opens them by options as pg takes them', async () => {
    const { hostname, port, username, password, pathname, searchParams } = new URL(test.url);
    const kernel = createKernel<ShopTables>({
      connection: {
        host: searchParams.get('host') ?? hostname,
        port: Number(port || 5432),
        user: username,
        password,
        database: pathname.slice(1),
        options: '-c search_path=shop',
        max: 2,
      },
      resources: [order],
    });
    await kernel.start();
    await kernel.db.selectFrom('shop_order').selectAll().execute();
    expect(kernel.database.pool.options.max).toBe(2);
    await kernel.close();
  });

  it('refuses no database, and two', () => {
    const refused = (options: object) => () => createKernel({ resources: [], ...options } as never);
    expect(refused({})).toThrow('a kernel needs one of pool, connection and database, not none');
    expect(refused({ connection: test.url, pool: {} })).toThrow('not pool and connection');
  });

  it('does not start on a database that nobody has migrated, and says what to call', async () => {
    const empty = await testDatabase({ migrated: false });
    const kernel = open(createKernel({ connection: empty.ownerUrl, resources: [] }));
    await expect(kernel.start()).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringContaining('call migrateDatabase()'),
    });
    await kernel.close();
    await empty.drop();
  });

  it('tells warnings and errors to the process when no log is given', async () => {
    const emit = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const kernel = open(createKernel<ShopTables>({ connection: test.url, resources: [order] }));
    kernel.listen({
      name: 'broken',
      onPrimary() {
        throw new Error('no paper');
      },
    });
    await kernel.start();
    await kernel.transaction({ author: 'kim' }, (tx) => void tx.create(order, { customer: 'Eva' }));
    await waitUntil(() => emit.mock.calls.length > 0, 'the warning comes');
    expect(emit.mock.calls).toEqual([
      [
        'an effect has failed',
        {
          type: 'TidemarkWarning',
          detail: expect.stringMatching(/"effect":"\d+:shop_order:\d+:broken".*\n.*no paper/),
        },
      ],
    ]);
    emit.mockRestore();
    await kernel.close();
  });
});
