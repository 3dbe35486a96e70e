import { randomBytes } from 'node:crypto';
import { Database, migrate, migrationsFolder } from '#libs/database';
import { type TestServer, testServer } from './server.ts';

/** What the test files of one run need to know of it; it reaches them through the environment. */
export interface TestRun {
  readonly adminUrl: string;
  /** Begins the name of every database and role of the run. */
  readonly prefix: string;
  readonly password: string;
}

/** A run that has been set up, in the process that did it. */
export interface RunningTests {
  readonly run: TestRun;
  /** Drops what the run has made, and stops the server if the run has started it. May be called twice. */
  end(): Promise<void>;
}

const VARIABLE = 'TEST_DATABASE_RUN';
const PREFIX = 'tidemark_test_';

/** Starts or finds the server, and makes the migrated template and the program's login role. Prints which server it is. */
export async function beginRun(): Promise<RunningTests> {
  const server = await testServer();
  const run = {
    adminUrl: server.adminUrl,
    prefix: PREFIX + randomBytes(4).toString('hex'),
    password: randomBytes(12).toString('hex'),
  };
  // the name of this connection shows other runs on the same server that this one lives
  const admin = Database.open({ url: run.adminUrl, poolSize: 1, applicationName: run.prefix });
  let ended: Promise<void> | undefined;
  const end = (): Promise<void> => {
    ended ??= endRun(server, admin, run);
    return ended;
  };
  try {
    const { rows } = await admin.query<{ version: string }>(
      `SELECT current_setting('server_version') AS version`,
    );
    process.stdout.write(`test database: ${server.what}, PostgreSQL ${rows[0]?.version}\n`);
    await dropAbandoned(admin);
    await makeTemplate(admin, run);
  } catch (error) {
    await end();
    throw error;
  }
  process.env[VARIABLE] = JSON.stringify(run);
  return { run, end };
}

/** The run that this test file belongs to. */
export function currentRun(): TestRun {
  const run = process.env[VARIABLE];
  if (run === undefined)
    throw new Error('no test run is set up: tests are run by jest, with its global set-up');
  return JSON.parse(run) as TestRun;
}

/** The name of the migrated database that test databases are copies of. */
export function templateName(run: TestRun): string {
  return `${run.prefix}_template`;
}

/** The same server, another database, and another role if one is given. */
export function urlFor(run: TestRun, database: string, role?: { user: string; password: string }): string {
  const url = new URL(run.adminUrl);
  url.pathname = `/${database}`;
  if (role) {
    url.username = role.user;
    url.password = role.password;
  }
  return url.href;
}

async function makeTemplate(admin: Database, run: TestRun): Promise<void> {
  const name = templateName(run);
  await admin.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8'`);
  await migrate(urlFor(run, name), [migrationsFolder]);
  await admin.query(`CREATE ROLE ${run.prefix} LOGIN PASSWORD '${run.password}' IN ROLE tidemark_app`);
}

async function endRun(server: TestServer, admin: Database, run: TestRun): Promise<void> {
  // nothing needs to be dropped on a server that goes with its data
  if (server.what === 'TEST_DATABASE_URL') await dropRun(admin, run.prefix);
  await admin.close();
  await server.stop();
}

/** Runs that were killed leave their databases behind: the next run clears away. */
async function dropAbandoned(admin: Database): Promise<void> {
  const { rows } = await admin.query<{ prefix: string }>(
    `SELECT DISTINCT substring(name FROM '^${PREFIX}[0-9a-f]{8}') AS prefix
       FROM (SELECT datname AS name FROM pg_database UNION ALL SELECT rolname FROM pg_roles) n
       WHERE name ~ '^${PREFIX}[0-9a-f]{8}(_|$)'
         AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.application_name = substring(name FROM '^${PREFIX}[0-9a-f]{8}'))`,
  );
  for (const { prefix } of rows) await dropRun(admin, prefix);
}

async function dropRun(admin: Database, prefix: string): Promise<void> {
  const { rows } = await admin.query<{ name: string }>(
    `SELECT datname AS name FROM pg_database WHERE datname ^@ $1`,
    [`${prefix}_`],
  );
  for (const { name } of rows) await admin.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
  const roles = await admin.query<{ name: string }>(
    `SELECT rolname AS name FROM pg_roles WHERE rolname ^@ $1`,
    [prefix],
  );
  for (const { name } of roles.rows) await admin.query(`DROP ROLE IF EXISTS "${name}"`);
}
