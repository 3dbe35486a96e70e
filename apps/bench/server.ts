import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { joinEmbedded } from '../../dist/libs/embedded/index.js';
import { migrate, migrationsFolder } from '../../dist/libs/migrations/index.js';

/** A PostgreSQL server for one scenario: the embedded one in a fresh folder, or a given one. */
export interface Server {
  readonly ownerUrl: string;
  /** Makes an empty database; its URL logs in as its owner. */
  createDatabase(): Promise<string>;
  /** Drops the databases that were made, and removes the server where it is the scenario's own. */
  close(): Promise<void>;
}

export async function openServer(givenUrl: string | undefined): Promise<Server> {
  if (givenUrl !== undefined) return serverAt(givenUrl, async () => undefined);
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
  // as root, PostgreSQL runs under another account, which is to come in: else its data would lie elsewhere, and stay there
  await chmod(folder, 0o755);
  const embedded = await joinEmbedded(folder);
  return serverAt(embedded.ownerUrl, async () => {
    await embedded.release();
    await rm(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
  });
}

/** Runs SQL over a connection of its own. */
export async function execute(url: string, ...statements: string[]): Promise<pg.QueryResult[]> {
  const client = new pg.Client({ connectionString: url, application_name: 'tidemark bench' });
  await client.connect();
  try {
    const results: pg.QueryResult[] = [];
    for (const statement of statements) results.push(await client.query(statement));
    return results;
  } finally {
    await client.end();
  }
}

/** A database with the program's migrations and the table that is measured: 10,000 rows, three fields beside the key. */
export async function createJournaled(server: Server): Promise<string> {
  const url = await server.createDatabase();
  await migrate(url, [migrationsFolder]);
  await execute(
    url,
    `CREATE TABLE bench_task (id bigint PRIMARY KEY, title text NOT NULL, state text NOT NULL, points integer NOT NULL)`,
    `INSERT INTO bench_task SELECT id, 'task ' || id, 'open', 0 FROM generate_series(1, ${TASKS}) AS id`,
    `SELECT tidemark.journal_table('bench_task', row_version => true)`,
    `GRANT SELECT, INSERT, UPDATE, DELETE ON bench_task TO tidemark_app`,
    'VACUUM (ANALYZE)',
  );
  return url;
}

/** Rows of the measured table. */
export const TASKS = 10_000;

function serverAt(ownerUrl: string, remove: () => Promise<void>): Server {
  const made: string[] = [];
  return {
    ownerUrl,
    async createDatabase() {
      const name = `tidemark_bench_${process.pid}_${made.length}`;
      await execute(ownerUrl, `CREATE DATABASE ${name} TEMPLATE template0`);
      made.push(name);
      return withDatabase(ownerUrl, name);
    },
    async close() {
      for (const name of made) await execute(ownerUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      await remove();
    },
  };
}

function withDatabase(url: string, name: string): string {
  return url.replace(/^(postgres(?:ql)?:\/\/[^/]*\/)[^?]*/, `$1${name}`);
}
