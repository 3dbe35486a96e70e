import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { KernelError } from '#libs/database';
import { migrateDatabase } from '#libs/migrations';
import { type TestServer, useServer, withAdmin } from './test-server.ts';
import { connectedPrograms } from './testing.queries.ts';

const GONE_WITHIN = 2_000;

export interface TestDatabaseOptions {
  /** The program's own migrations, as migrateDatabase() takes them. */
  readonly folder?: string;
  /** A server to use, as a role that may create databases and roles; default TEST_DATABASE_URL, else the embedded PostgreSQL. */
  readonly server?: string;
}

/** A database of a test's own. */
export interface TestDatabase {
  /** As a role with the rights of tidemark_app: what the program under test connects as. */
  readonly url: string;
  /** As its owner: for migrations. */
  readonly ownerUrl: string;
  readonly name: string;
  /** Drops it. Throws `conflict` when connections were left open; it is dropped all the same. */
  drop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Makes a fresh, migrated database. Needs no test runner: drop() it when the test is over, or declare it with `await using`. Nothing runs on
 * afterwards; what a killed run has left is cleared away by the next one.
 */
export async function testDatabase({ folder, server }: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const used = await useServer(server);
  const name = `${used.run}_${randomBytes(4).toString('hex')}`;
  const ownerUrl = urlOn(used.adminUrl, name);
  const password = randomBytes(12).toString('hex');
  try {
    await withAdmin(used.adminUrl, (admin) =>
      admin.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8'`),
    );
    await migrateDatabase({ url: ownerUrl, ...(folder === undefined ? {} : { folder }) });
    await withAdmin(ownerUrl, (owner) =>
      owner.query(`CREATE ROLE ${name} LOGIN PASSWORD '${password}' IN ROLE tidemark_app`),
    );
  } catch (error) {
    await remove(used, name);
    throw error;
  }
  let dropping: Promise<void> | undefined;
  const drop = () => {
    dropping ??= remove(used, name);
    return dropping;
  };
  return { url: urlOn(used.adminUrl, name, password), ownerUrl, name, drop, [Symbol.asyncDispose]: drop };
}

async function remove({ adminUrl, release }: TestServer, name: string): Promise<void> {
  try {
    const left = await withAdmin(adminUrl, async (admin) => {
      const end = performance.now() + GONE_WITHIN;
      let programs = await connectedPrograms(admin, name);
      // a connection that was closed just now is gone a moment later
      for (; programs.length > 0 && performance.now() < end; programs = await connectedPrograms(admin, name)) {
        await delay(5);
      }
      await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      await admin.query(`DROP ROLE IF EXISTS ${name}`);
      return programs;
    });
    if (left.length > 0) {
      throw new KernelError('conflict', `connections to the test database were left open, by ${left.join(', ')}`);
    }
  } finally {
    await release();
  }
}

/** The same server, another database; with a password as the role of that name. */
function urlOn(url: string, database: string, password?: string): string {
  const other = new URL(url);
  other.pathname = `/${database}`;
  if (password !== undefined) Object.assign(other, { username: database, password });
  return other.href;
}
