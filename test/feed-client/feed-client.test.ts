import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { type Started, startCommand } from '../cli/command.ts';
import { freePort } from '../support/free-port.ts';
import { type TestDatabase, testDatabase, urlOn } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

const TOKEN = 'a-token-for-the-feed';
/** How often each form is killed. */
const KILLS: Record<string, number> = process.env['TIDEMARK_TEST_LONG']
  ? { poll: 60, stream: 60 }
  : { poll: 21, stream: 12 };
const LARGE = 2_500;

let database: TestDatabase;
let owner: Database;
let folder: string;
let url: string;
let server: Started;
const clients = new Set<ChildProcess>();

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 6 });
  folder = mkdtempSync(join(tmpdir(), 'tidemark-feed-'));
  url = `http://127.0.0.1:${await freePort()}`;
  server = await serve(database.url);
});

afterAll(async () => {
  for (const client of clients) client.kill('SIGKILL');
  await end(server, 'SIGKILL');
  await owner.close();
  await database.drop();
  rmSync(folder, { recursive: true });
});

async function serve(databaseUrl: string): Promise<Started> {
  const env = { DATABASE_URL: databaseUrl, TIDEMARK_ADMIN_TOKEN: TOKEN };
  const started = startCommand(['serve', '--port', new URL(url).port, '--log-level', 'error'], env, folder);
  await waitUntil(() => started.stdout().includes('ready on'), 'the server is ready', 60_000);
  return started;
}

async function end(started: Started, signal: NodeJS.Signals): Promise<void> {
  started.process.kill(signal);
  await started.ended;
}

/** The client of docs/feed-client.md, in a process of its own. A large tid takes many pages of 97. */
function startClient(file: string, form: string, limit = '97'): ChildProcess {
  const program = join(import.meta.dirname, 'client-process.js');
  const client = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', program, url, TOKEN, file, form, limit],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  clients.add(client);
  return client;
}

async function stopClient(client: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (client.exitCode === null && client.signalCode === null) {
    client.kill(signal);
    await once(client, 'exit');
  }
  clients.delete(client);
}

interface Seen {
  tid: number;
  resource: string;
  id: string;
}

function look<T>(file: string, work: (db: DatabaseSync) => T): T | undefined {
  if (!existsSync(file)) return undefined;
  const db = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  try {
    return work(db);
  } catch {
    // its first process has not made the tables yet
    return undefined;
  } finally {
    db.close();
  }
}

const seenOf = (file: string): Seen[] =>
  look(file, (db) => db.prepare('SELECT tid, resource, id FROM seen ORDER BY n').all() as unknown as Seen[]) ?? [];
const countOf = (file: string, tid?: number): number =>
  look(file, (db) => {
    const where = tid === undefined ? '' : `WHERE tid = ${tid}`;
    return Number(db.prepare(`SELECT count(*) AS n FROM seen ${where}`).get()?.['n']);
  }) ?? 0;

async function journal(db: Database): Promise<Seen[]> {
  const { rows } = await db.query<Seen>('SELECT tid, resource, id FROM tidemark.journal ORDER BY tid, resource, id');
  return rows;
}

/** Transactions that overlap and are rolled back now and then, past the server, until told to stop. */
function startWriters(name: string): { stop(): Promise<void> } {
  let stopped = false;
  const lanes = [0, 1, 2].map(async (lane) => {
    for (let n = 0; !stopped; n++) {
      const connection = await owner.connect();
      await connection.query('BEGIN');
      await connection.query('INSERT INTO wiki (name, text) VALUES ($1, $2)', [`${name}/${lane}/${n}`, 'new']);
      await connection.query('UPDATE wiki SET text = $2 WHERE name = $1', [`${name}/${lane}/${n - 1}`, `${n}`]);
      if (n % 3 === 0) await connection.query('SELECT pg_sleep(0.02)');
      await connection.query(n % 5 === 4 ? 'ROLLBACK' : 'COMMIT');
      connection.release();
    }
  });
  return {
    async stop() {
      stopped = true;
      await Promise.all(lanes);
    },
  };
}

async function writeLarge(name: string): Promise<number> {
  const connection = await owner.connect();
  await connection.query('BEGIN');
  await connection.query(`INSERT INTO wiki (name, text) SELECT $1 || n, 'x' FROM generate_series(1, ${LARGE}) n`, [
    name,
  ]);
  const { rows } = await connection.query<{ tid: number }>('SELECT tid FROM tidemark.drawn()');
  await connection.query('COMMIT');
  connection.release();
  return (rows[0] as { tid: number }).tid;
}

it.each(['poll', 'stream'])(
  'as %s, a client that is killed again and again has every change once and in order',
  async (form) => {
    const file = join(folder, `${form}.db`);
    const kills = KILLS[form] as number;
    const writers = startWriters(form);
    let large = await writeLarge(`first ${form}/`);
    let client = startClient(file, form);
    let inside = 0;
    for (let kill = 0; kill < kills; kill++) {
      const before = countOf(file);
      const some = 1 + Math.floor(Math.random() * 40);
      await waitUntil(() => countOf(file) >= before + some, 'the client gets on', 30_000);
      if (kill % 7 === 6) {
        large = await writeLarge(`${kill} ${form}/`);
        await waitUntil(() => countOf(file, large) > 0, 'the client is inside of a large tid', 60_000);
      }
      await stopClient(client, 'SIGKILL');
      const part = countOf(file, large);
      if (part > 0 && part < LARGE) inside += 1;
      if (kill % 8 === 3) {
        await end(server, kill % 16 === 3 ? 'SIGKILL' : 'SIGTERM');
        client = startClient(file, form);
        server = await serve(database.url);
      } else client = startClient(file, form);
    }
    // and under a client that lives
    await end(server, 'SIGTERM');
    server = await serve(database.url);
    await writers.stop();
    const expected = await journal(owner);
    await waitUntil(() => countOf(file) >= expected.length, 'the client has all', 60_000);
    await stopClient(client, 'SIGTERM');
    const seen = seenOf(file);
    expect(seen.length).toBe(expected.length);
    expect(seen.findIndex((each, n) => JSON.stringify(each) !== JSON.stringify(expected[n]))).toBe(-1);
    expect(inside).toBeGreaterThan(0);
    process.stdout.write(
      `${form}: ${seen.length} changes, ${kills} kills, ${inside} of them inside a tid of ${LARGE}\n`,
    );
  },
  240_000,
);

it('a restored database is read again from its beginning, and nothing of the other history is kept', async () => {
  const file = join(folder, 'poll.db');
  const client = startClient(file, 'poll', '500');
  const length = (await journal(owner)).length;
  await waitUntil(() => countOf(file) === length, 'the client has all', 60_000);
  await end(server, 'SIGTERM');
  await owner.close();

  // as a restored dump: all that was there at one moment, and then other changes than the original had
  const name = `${database.name}_restored`;
  const admin = Database.open({ url: urlOn(database.ownerUrl, 'postgres'), poolSize: 1 });
  await admin.query(`CREATE DATABASE ${name} TEMPLATE ${database.name}`);
  const restored = Database.open({ url: urlOn(database.ownerUrl, name), poolSize: 1 });
  await restored.query(
    `DELETE FROM wiki WHERE name LIKE 'poll/1/%'; INSERT INTO wiki (name, text) VALUES ('after', 'x')`,
  );
  server = await serve(urlOn(database.url, name));
  const expected = await journal(restored);
  await waitUntil(() => countOf(file) === expected.length, 'the client has read again', 60_000);
  await stopClient(client, 'SIGTERM');
  expect(seenOf(file)).toEqual(expected);
  await end(server, 'SIGTERM');
  await restored.close();
  await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
  await admin.close();
  owner = Database.open({ url: database.ownerUrl, poolSize: 1 });
}, 120_000);
