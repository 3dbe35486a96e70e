import { randomBytes } from 'node:crypto';
import { Database } from '#libs/database';
import { waitUntil } from './wait-until.ts';

/** A database of a test file's own. */
export interface TestDatabase {
  /** A login role with the rights of tidemark_app. */
  readonly url: string;
  /** The owner, a superuser. */
  readonly ownerUrl: string;
  readonly name: string;
  /** Drops it; fails when the test has left connections open. */
  drop(): Promise<void>;
}

/** What the global set-up tells the test files. */
export interface TestServer {
  readonly adminUrl: string;
  readonly template: string;
  readonly role: string;
  readonly password: string;
}

/** A copy of the migrated template, or an empty database. */
export async function testDatabase(
  options: { migrated?: boolean; encoding?: 'UTF8' | 'SQL_ASCII' } = {},
): Promise<TestDatabase> {
  const server = JSON.parse(process.env['TEST_SERVER'] as string) as TestServer;
  const name = `${server.role}_${randomBytes(5).toString('hex')}`;
  const source =
    options.migrated === false
      ? `TEMPLATE template0 LOCALE 'C' ENCODING '${options.encoding ?? 'UTF8'}'`
      : `TEMPLATE ${server.template}`;
  // two copies of one template cannot be made at once
  await withAdmin(server, async (admin) => {
    const connection = await admin.connect();
    try {
      await connection.query('SELECT pg_advisory_lock(29797)');
      await connection.query(`CREATE DATABASE ${name} ${source}`);
    } finally {
      connection.release(new Error('the lock goes with the connection'));
    }
  });
  const url = new URL(urlOn(server.adminUrl, name));
  url.username = server.role;
  url.password = server.password;
  return {
    url: url.href,
    ownerUrl: urlOn(server.adminUrl, name),
    name,
    drop: () => withAdmin(server, (admin) => drop(admin, name)),
  };
}

/** The same server and role, another database. */
export function urlOn(url: string, database: string): string {
  const other = new URL(url);
  other.pathname = `/${database}`;
  return other.href;
}

async function drop(admin: Database, name: string): Promise<void> {
  let left: unknown[] = [];
  const gone = async () => {
    const { rows } = await admin.query(
      `SELECT pid, application_name, state, query FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'`,
      [name],
    );
    left = rows;
    return rows.length === 0;
  };
  const clean = await waitUntil(gone, 'all connections are closed', 2_000).then(
    () => true,
    () => false,
  );
  await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
  if (!clean) throw new Error(`the test has left connections open: ${JSON.stringify(left)}`);
}

async function withAdmin(server: TestServer, work: (admin: Database) => Promise<void>): Promise<void> {
  const admin = Database.open({ url: server.adminUrl, poolSize: 1, statementTimeout: 120_000 });
  try {
    await work(admin);
  } finally {
    await admin.close();
  }
}
