import { randomBytes } from 'node:crypto';
import { type Connection, Database } from '#libs/database';
import { migrate, migrationsFolder } from '#libs/migrations';
import { type ChosenServer, chooseServer } from './choose-server.ts';
import { type TestServer, urlOn } from './test-database.ts';

const NAME = 'tidemark_test_[0-9a-f]{8}';

/** One run of the tests: its server, the migrated template that each test file gets a copy of, and the role of the program. */
export class TestRun {
  readonly server: TestServer;
  readonly #chosen: ChosenServer;
  readonly #admin: Database;
  /** Held for its name: it shows other runs on the same server that this one lives. */
  readonly #sign: Connection;
  #ended: Promise<void> | undefined;

  private constructor(server: TestServer, chosen: ChosenServer, admin: Database, sign: Connection) {
    this.server = server;
    this.#chosen = chosen;
    this.#admin = admin;
    this.#sign = sign;
  }

  /** Chooses the server and says which. */
  static async begin(): Promise<TestRun> {
    const chosen = await chooseServer();
    const { adminUrl } = chosen;
    const role = `tidemark_test_${randomBytes(4).toString('hex')}`;
    const server = { adminUrl, role, template: `${role}_template`, password: randomBytes(12).toString('hex') };
    const admin = Database.open({ url: adminUrl, poolSize: 2, applicationName: role });
    const run = new TestRun(server, chosen, admin, await admin.connect());
    try {
      await run.#setUp();
      return run;
    } catch (error) {
      await run.end();
      throw error;
    }
  }

  /** Leaves nothing behind: databases that a failed test has left, the template, the role, the server. May be called twice. */
  end(): Promise<void> {
    this.#ended ??= this.#tearDown();
    return this.#ended;
  }

  async #setUp(): Promise<void> {
    const { role, template, password, adminUrl } = this.server;
    const { rows } = await this.#admin.query<{ version: string }>(
      `SELECT current_setting('server_version') AS version`,
    );
    process.stdout.write(`Tests run on PostgreSQL ${rows[0]?.version}: ${this.#chosen.kind}\n`);
    await dropAbandoned(this.#admin);
    await this.#admin.query(`CREATE DATABASE ${template} TEMPLATE template0 ENCODING 'UTF8'`);
    await migrate(urlOn(adminUrl, template), [migrationsFolder]);
    await this.#admin.query(`CREATE ROLE ${role} LOGIN PASSWORD '${password}' IN ROLE tidemark_app`);
  }

  async #tearDown(): Promise<void> {
    await dropRun(this.#admin, this.server.role);
    this.#sign.release();
    await this.#admin.close();
    await this.#chosen.stop();
  }
}

/** Runs that were killed could not clear away. */
async function dropAbandoned(admin: Database): Promise<void> {
  const { rows } = await admin.query<{ role: string }>(
    `SELECT DISTINCT substring(n.name FROM '^${NAME}') AS role
       FROM (SELECT datname AS name FROM pg_database UNION ALL SELECT rolname FROM pg_roles) n
       WHERE n.name ~ '^${NAME}(_|$)'
         AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.application_name = substring(n.name FROM '^${NAME}'))`,
  );
  for (const { role } of rows) await dropRun(admin, role);
}

async function dropRun(admin: Database, role: string): Promise<void> {
  const { rows } = await admin.query<{ name: string }>(
    'SELECT datname AS name FROM pg_database WHERE starts_with(datname, $1)',
    [`${role}_`],
  );
  for (const { name } of rows) await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  // and the roles that tests made, named after it
  const roles = await admin.query<{ name: string }>(
    'SELECT rolname AS name FROM pg_roles WHERE starts_with(rolname, $1)',
    [role],
  );
  for (const { name } of roles.rows) await admin.query(`DROP ROLE IF EXISTS ${name}`);
}
