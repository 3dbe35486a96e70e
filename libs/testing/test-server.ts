import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Database } from '#libs/database';
import { joinEmbedded } from '#libs/embedded';
import { readEnvironment } from '#libs/kernel';
import { abandonedRuns, namesOf } from './testing.queries.ts';

const PREFIX = 'tidemark_testing';

/** A PostgreSQL that this process may create databases on. */
export interface TestServer {
  readonly adminUrl: string;
  /** What this process calls its databases and roles. */
  readonly run: string;
  /** Lets go of the server; the last of this process stops what it has started. */
  release(): Promise<void>;
}

interface Server {
  readonly adminUrl: string;
  readonly run: string;
  close(): Promise<void>;
}

const servers = new Map<string, { server: Promise<Server>; users: number }>();

/** The server of a URL, or of TEST_DATABASE_URL, else the embedded one: its data lie in `node_modules/.cache/tidemark`. */
export async function useServer(url: string | undefined): Promise<TestServer> {
  const given = url ?? readEnvironment()['TEST_DATABASE_URL'] ?? '';
  const used = servers.get(given) ?? { server: openServer(given), users: 0 };
  servers.set(given, used);
  used.users++;
  const release = async () => {
    if (--used.users > 0) return;
    servers.delete(given);
    await (await used.server).close();
  };
  try {
    const { adminUrl, run } = await used.server;
    return { adminUrl, run, release };
  } catch (error) {
    servers.delete(given);
    throw error;
  }
}

/** Runs work on a connection as the server's administrator. */
export async function withAdmin<T>(adminUrl: string, work: (admin: Database) => Promise<T>): Promise<T> {
  const admin = Database.open({ url: adminUrl, poolSize: 1, statementTimeout: 120_000 });
  try {
    return await work(admin);
  } finally {
    await admin.close();
  }
}

async function openServer(given: string): Promise<Server> {
  const embedded = given === '' ? await joinEmbedded(join(process.cwd(), 'node_modules/.cache/tidemark')) : undefined;
  const adminUrl = embedded?.ownerUrl ?? given;
  const run = `${PREFIX}_${randomBytes(4).toString('hex')}`;
  const signs = Database.open({ url: adminUrl, poolSize: 1, applicationName: run });
  try {
    const sign = await signs.listenClient();
    // it shows other runs that this one lives, and is no reason to go on living
    (sign as typeof sign & { unref(): void }).unref();
    await withAdmin(adminUrl, dropAbandoned);
    const close = async () => {
      await sign.end();
      await signs.close();
      await embedded?.release();
    };
    return { adminUrl, run, close };
  } catch (error) {
    await signs.close();
    await embedded?.release();
    throw error;
  }
}

/** Runs that were killed could not clear away. */
async function dropAbandoned(admin: Database): Promise<void> {
  for (const run of await abandonedRuns(admin, PREFIX)) {
    const { databases, roles } = await namesOf(admin, run);
    for (const name of databases) await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    for (const name of roles) await admin.query(`DROP ROLE IF EXISTS ${name}`);
  }
}
