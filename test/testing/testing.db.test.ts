import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { defineResource } from '#libs/journal';
import { createKernel, type Kernel } from '#libs/kernel';
import { settled, type TestDatabase, testDatabase } from '#libs/testing';
import type { TestServer } from '../support/test-database.ts';
import { PATIENTLY } from '../support/wait-until.ts';

const { adminUrl: server } = JSON.parse(process.env['TEST_SERVER'] as string) as TestServer;
const order = defineResource<{ id: number; customer: string }>({ name: 'shop_order' });
const silent = { debug() {}, info() {}, warn() {}, error() {} };

async function withAdmin<T>(work: (admin: Database) => Promise<T>): Promise<T> {
  const admin = Database.open({ url: server, poolSize: 1 });
  try {
    return await work(admin);
  } finally {
    await admin.close();
  }
}

/** The databases and roles of this run; other test files have runs of their own on the same server. */
const namesOfRun = (run: string) =>
  withAdmin(async (admin) => {
    const { rows } = await admin.query<{ name: string }>(
      `SELECT name FROM (SELECT datname AS name FROM pg_database UNION ALL SELECT rolname FROM pg_roles) n
         WHERE starts_with(name, $1) ORDER BY 1`,
      [run],
    );
    return rows.map(({ name }) => name);
  });

describe('testDatabase', () => {
  // as long as it is there, this process keeps its run
  let keeper: TestDatabase;
  const databases = async () => {
    const names = await namesOfRun(keeper.name.slice(0, -9));
    return names.filter((name) => name !== keeper.name);
  };

  beforeAll(async () => {
    keeper = await testDatabase({ server });
  });

  afterAll(() => keeper.drop());

  it("is fresh, migrated and without the server's domain, and goes with everything when it is dropped", async () => {
    const test = await testDatabase({ server });
    const database = Database.open({ url: test.url, poolSize: 1 });
    const { rows } = await database.query(
      `SELECT current_user::text AS role, to_regclass('tidemark.journal') IS NOT NULL AS journal, to_regclass('wiki') AS wiki`,
    );
    expect(rows).toEqual([{ role: test.name, journal: true, wiki: null }]);
    await database.close();
    expect(await databases()).toEqual([test.name, test.name]);
    await test.drop();
    await test.drop();
    expect(await databases()).toEqual([]);
  });

  it('can be made many times at once, and is dropped at the end of its scope', async () => {
    {
      await using one = await testDatabase({ server });
      const others = await Promise.all([testDatabase({ server }), testDatabase({ server })]);
      expect(new Set([one, ...others].map(({ name }) => name)).size).toBe(3);
      await Promise.all(others.map((other) => other.drop()));
    }
    expect(await databases()).toEqual([]);
  });

  it('says which connections a test has left open, and is dropped all the same', async () => {
    const test = await testDatabase({ server });
    const left = Database.open({ url: test.url, poolSize: 1, applicationName: 'forgotten' });
    await left.query('SELECT 1');
    await expect(test.drop()).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/by forgotten$/),
    });
    expect(await databases()).toEqual([]);
    await left.close();
  });

  it('clears away what a killed run has left, and nothing of a run that lives', async () => {
    const left = 'tidemark_testing_0badcafe';
    await withAdmin((admin) => admin.query(`CREATE DATABASE ${left}_00000001`));
    await withAdmin((admin) => admin.query(`CREATE ROLE ${left}_00000001`));
    // the same server under another URL: another run
    const other = await testDatabase({ server: `${server}${server.includes('?') ? '&' : '?'}another=run` });
    expect(await namesOfRun(left)).toEqual([]);
    expect(await namesOfRun(keeper.name)).toEqual([keeper.name, keeper.name]);
    await other.drop();
  });

  it('leaves nothing behind when a migration fails', async () => {
    await expect(testDatabase({ server, folder: '/nowhere' })).rejects.toMatchObject({ code: 'configuration' });
    expect(await databases()).toEqual([]);
  });
});

describe('settled', () => {
  let test: TestDatabase;
  let kernel: Kernel;
  const told: string[] = [];
  let hold: Promise<void> = Promise.resolve();

  beforeAll(async () => {
    test = await testDatabase({ server });
    const owner = Database.open({ url: test.ownerUrl, poolSize: 1 });
    await owner.query(`
      CREATE TABLE shop_order (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL);
      SELECT tidemark.journal_table('shop_order', row_version => true);
      GRANT SELECT, INSERT, UPDATE, DELETE ON shop_order TO tidemark_app`);
    await owner.close();
    kernel = createKernel({ connection: test.url, resources: [order], log: silent });
    kernel.listen({
      name: 'follows-up',
      async onPrimary({ values }) {
        await hold;
        told.push(String(values['customer']));
        const more = { first: 'second', second: 'third' }[String(values['customer'])];
        if (more) await kernel.transaction({ author: 'listener' }, (tx) => tx.create(order, { customer: more }));
      },
      onSecondary: ({ values }) => void told.push(`other ${values['customer']}`),
    });
    await expect(settled(kernel)).rejects.toMatchObject({ code: 'unavailable' });
    await kernel.start();
  });

  afterAll(async () => {
    await kernel.close();
    await test.drop();
  });

  it('returns at once on an empty journal', async () => {
    await settled(kernel, PATIENTLY);
  });

  it('waits for the listeners, and for what they have changed themselves', async () => {
    await kernel.transaction({ author: 'kim' }, (tx) => tx.create(order, { customer: 'first' }));
    await settled(kernel, PATIENTLY);
    expect(told.splice(0)).toEqual(['first', 'second', 'third']);
  });

  it('waits for changes that were made past the kernel', async () => {
    await kernel.database.query(`INSERT INTO shop_order (customer) VALUES ('raw')`);
    await settled(kernel, PATIENTLY);
    expect(told.splice(0)).toEqual(['other raw', 'raw']);
  });

  it('names the listener that is not done in time', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    hold = promise;
    await kernel.transaction({ author: 'kim' }, (tx) => tx.create(order, { customer: 'slow' }));
    await expect(settled(kernel, { timeout: 50 })).rejects.toMatchObject({
      code: 'not_caught_up',
      message: expect.stringContaining('follows-up'),
    });
    resolve();
    await settled(kernel, PATIENTLY);
    expect(told.splice(0)).toEqual(['slow']);
  });

  it('names the open transaction that keeps a committed change from being delivered', async () => {
    const open = Database.open({ url: test.url, poolSize: 1, applicationName: 'undecided' });
    const connection = await open.connect();
    await connection.query('BEGIN');
    await connection.query(`INSERT INTO shop_order (customer) VALUES ('open')`);
    await settled(kernel, PATIENTLY);
    await kernel.database.query(`INSERT INTO shop_order (customer) VALUES ('behind it')`);
    await expect(settled(kernel, { timeout: 50 })).rejects.toMatchObject({
      code: 'not_caught_up',
      message: expect.stringMatching(/not committed yet, by undecided \(process \d+\)/),
    });
    await connection.query('ROLLBACK');
    connection.release();
    await open.close();
    await settled(kernel, PATIENTLY);
    expect(told.splice(0)).toEqual(['other behind it', 'behind it']);
  });
});
