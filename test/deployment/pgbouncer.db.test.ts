import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createToken } from '#libs/access';
import { Database } from '#libs/database';
import type { Log } from '#libs/dispatch';
import { frontier } from '#libs/journal';
import { loadConfig, type Opened, openKernel } from '#libs/kernel';
import { resources } from '#libs/resources';
import { type Server, startServer } from '../../apps/server/server.ts';
import { readEvents } from '../server/sse.ts';
import { docBlocks } from '../support/doc-block.ts';
import { databaseLine, missingPgBouncer, type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

const missing = missingPgBouncer();
if (missing) process.stdout.write(`PgBouncer tests are skipped: ${missing}\n`);

const USERS = 8;
const ROUNDS = 40;

let database: TestDatabase;
let other: TestDatabase;
let bouncer: PgBouncer;
let owner: Database;
const warnings: string[] = [];
const opened: Opened<unknown>[] = [];
const servers: Server[] = [];
const tokens: string[] = [];
let role: string;

const log: Log = {
  ...{ debug() {}, info() {} },
  warn: (_about, message) => warnings.push(message),
  error: (_about, message) => warnings.push(message),
};

const open = (env: Record<string, string>) =>
  openKernel(loadConfig({ PORT: '0', TIDEMARK_POOL_SIZE: '10', ...env }), { resources, log });

async function refusal(env: Record<string, string>): Promise<string> {
  const outcome = await Promise.try(open, env).catch((error: Error) => error);
  if (outcome instanceof Error) return outcome.message;
  await outcome.close();
  return 'it was opened';
}

async function serve(): Promise<Server> {
  const env = { DATABASE_URL: bouncer.url('tidemark'), TIDEMARK_DIRECT_URL: database.url };
  const kernel = await open(env);
  opened.push(kernel as Opened<unknown>);
  const server = await startServer({ kernel: kernel.kernel, config: kernel.config, log });
  servers.push(server);
  return server;
}

async function ask(
  server: Server,
  user: number,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${server.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${tokens[user]}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** All that happens to the pages of one user, through the servers in turn; some of it is refused. */
async function work(user: number, rounds: number): Promise<number[]> {
  const statuses = [];
  for (let n = 0; n < rounds; n++) {
    const server = servers[(user + n) % servers.length] as Server;
    const page = `/wiki/user${user}%2F${n % 5}`;
    const headers = {
      ...(n % 4 === 1 ? { 'idempotency-key': `${user}-${n}` } : {}),
      ...(n % 6 === 5 ? { 'if-match': '"no-version-of-it"' } : {}),
    };
    const answer =
      n % 9 === 8
        ? await ask(server, user, 'DELETE', page, undefined, headers)
        : await ask(server, user, 'PUT', page, { text: n % 13 === 6 ? 'x'.repeat(6e6) : `${user} ${n}` }, headers);
    statuses.push(answer.status);
    await answer.text();
  }
  return statuses;
}

(missing ? describe.skip : describe)('behind PgBouncer in transaction mode', () => {
  beforeAll(async () => {
    [database, other] = await Promise.all([testDatabase(), testDatabase()]);
    const [ini = ''] = docBlocks('docs/deployment.md', 'ini');
    const settings = ini.slice(ini.indexOf('[pgbouncer]')).replace('[pgbouncer]', '');
    const line = databaseLine(database.url);
    bouncer = await startPgBouncer(
      {
        tidemark: `${line} pool_size=2`,
        naive: `${line} pool_size=1`,
        owner: `${databaseLine(database.ownerUrl)} pool_size=1`,
      },
      settings,
    );
    owner = Database.open({ url: database.ownerUrl, poolSize: 2 });
    for (let user = 0; user < USERS; user++) {
      tokens.push((await createToken(owner, { user: `user${user}`, roles: ['admin'] })).token);
    }
    role = new URL(database.url).username;
    await Promise.all([serve(), serve()]);
  }, 120_000);

  afterAll(async () => {
    await Promise.all(servers.map((server) => server.close()));
    await Promise.all(opened.map((each) => each.close()));
    await owner?.close();
    await bouncer?.stop();
    await database?.drop();
    await other?.drop();
  });

  it('every change bears its own author, whoever had the connection before', async () => {
    const stranger = Database.open({ url: bouncer.url('tidemark'), directUrl: database.url, poolSize: 3 });
    await stranger.query(`INSERT INTO wiki (name, text) VALUES ('stranger', '0')`);
    let stop = false;
    const anonymous = (async () => {
      for (let n = 1; !stop; n++) await stranger.query(`UPDATE wiki SET text = $1 WHERE name = 'stranger'`, [`${n}`]);
    })();
    const statuses = (await Promise.all(tokens.map((_, user) => work(user, ROUNDS)))).flat();
    stop = true;
    await anonymous;
    await stranger.close();

    expect(statuses.filter((status) => status < 300).length).toBeGreaterThan(USERS * ROUNDS * 0.7);
    expect(new Set(statuses)).toEqual(new Set([200, 201, 412, 413]));
    const { rows } = await owner.query(
      `SELECT DISTINCT split_part(name.value #>> '{}', '/', 1) AS whose, j.author, j.db_role, j.origin IS NULL AS raw
         FROM wiki_journal j JOIN wiki_history name ON name.id = j.id AND name.field = 'name' ORDER BY 1`,
    );
    const users = tokens.map((_, user) => ({ whose: `user${user}`, author: `user${user}`, db_role: role, raw: false }));
    expect(rows).toEqual([{ whose: 'stranger', author: role, db_role: role, raw: true }, ...users]);
    expect((await owner.query(`SELECT * FROM tidemark.drift('wiki')`)).rows).toEqual([]);
  }, 120_000);

  it('and all of them had two connections, beside one tail and one doorbell for each process', async () => {
    const { rows } = await owner.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND usename = $1`,
      [role],
    );
    expect(rows[0]?.n).toBeLessThanOrEqual(2 + 2 * 2);
  });

  it('an actor that is set for a session does leak, which this test would see', async () => {
    const naive = Database.open({ url: bouncer.url('naive'), directUrl: database.url, poolSize: 2 });
    await naive.query(`SELECT set_config('tidemark.actor', '{"author":"mallory"}', false)`);
    const victim = Database.open({ url: bouncer.url('naive'), directUrl: database.url, poolSize: 1 });
    await victim.query(`INSERT INTO wiki (name, text) VALUES ('victim', 'x')`);
    await Promise.all([naive.close(), victim.close()]);
    const { rows } = await owner.query(`SELECT author FROM wiki_journal ORDER BY tid DESC LIMIT 1`);
    expect(rows).toEqual([{ author: 'mallory' }]);
  });

  it('a change is seen at the other process, by its caches and its streams', async () => {
    const [a, b] = servers as [Server, Server];
    const stream = await ask(b, 0, 'GET', '/journal/stream');
    const events = await readEvents(stream.body as ReadableStream<Uint8Array>);
    const put = await ask(a, 3, 'PUT', '/wiki/Seen', { text: 'by the other' });
    const tid = put.headers.get('tidemark-tid') as string;
    const list = await fetch(`${b.url}/wiki?prefix=Seen`, {
      headers: { authorization: `Bearer ${tokens[1]}`, 'tidemark-wait-for': tid },
    });
    expect(await list.json()).toEqual({ items: ['Seen'], next: null });
    const event = await events.next();
    expect(JSON.parse(event?.data as string)).toMatchObject({ tid: Number(tid), author: 'user3' });
    await events.cancel();
  });

  it('a PgBouncer that is killed is waited for: nothing acknowledged is lost, and tails go on meanwhile', async () => {
    const acknowledged = new Map<string, string>();
    const refused = new Set<number>();
    let stop = false;
    const writers = tokens.slice(0, 4).map(async (_, user) => {
      for (let n = 0; !stop; n++) {
        const text = `${user} ${n}`;
        const answer = await ask(servers[n % 2] as Server, user, 'PUT', `/wiki/killed%2F${user}`, { text });
        if (answer.ok) acknowledged.set(answer.headers.get('tidemark-tid') as string, text);
        else refused.add(answer.status);
        await answer.text();
      }
    });
    const grows = async (what: string) => {
      const before = acknowledged.size;
      await waitUntil(() => acknowledged.size > before + 20, what, 30_000);
    };
    for (let kill = 0; kill < 2; kill++) {
      await grows('changes are made');
      await bouncer.kill9();
      await waitUntil(() => refused.has(503), 'requests are refused');
      await owner.query(`INSERT INTO wiki (name, text) VALUES ('behind its back ${kill}', 'x')`);
      const { head } = await frontier(owner);
      const positions = () => opened.map(({ kernel }) => kernel.dispatcher.status().position.tid);
      await waitUntil(() => positions().every((tid) => tid >= head), 'the tails have read what came past PgBouncer');
      await bouncer.start();
      await grows('changes are made again');
    }
    stop = true;
    await Promise.all(writers);
    expect(refused).toEqual(new Set([503]));
    const { rows } = await owner.query<{ tid: string; text: string }>(
      `SELECT tid::text, value #>> '{}' AS text FROM wiki_history WHERE field = 'text'`,
    );
    const journaled = new Map(rows.map(({ tid, text }) => [tid, text]));
    expect([...acknowledged].filter(([tid, text]) => journaled.get(tid) !== text)).toEqual([]);
  }, 120_000);

  it('a role without time-outs is warned of, with the statement that helps', async () => {
    expect(warnings).toContainEqual(expect.stringContaining(`ALTER ROLE "${role}" SET statement_timeout = '30s'`));
    await owner.query(`ALTER ROLE ${role} IN DATABASE ${database.name} SET statement_timeout = '30s';
      ALTER ROLE ${role} IN DATABASE ${database.name} SET idle_in_transaction_session_timeout = '60s'`);
    // its connections have logged in without them
    await bouncer.kill9();
    await bouncer.start();
    warnings.length = 0;
    expect(await refusal({ DATABASE_URL: bouncer.url('tidemark'), TIDEMARK_DIRECT_URL: database.url })).toBe(
      'it was opened',
    );
    expect(warnings.filter((warning) => warning.includes('ALTER ROLE'))).toEqual([]);
  });

  it.each<[string, () => Record<string, string>, string]>([
    ['without TIDEMARK_DIRECT_URL', () => ({ DATABASE_URL: bouncer.url('tidemark') }), 'Set TIDEMARK_DIRECT_URL'],
    [
      'as an owner',
      () => ({ DATABASE_URL: bouncer.url('owner'), TIDEMARK_DIRECT_URL: database.url }),
      'a role that is no owner',
    ],
    [
      'to another database than the direct way',
      () => ({ DATABASE_URL: bouncer.url('tidemark'), TIDEMARK_DIRECT_URL: other.url }),
      'must name the same database',
    ],
    [
      'to a database that PgBouncer does not know',
      () => ({ DATABASE_URL: bouncer.url('nowhere'), TIDEMARK_DIRECT_URL: database.url }),
      'DATABASE_URL: ',
    ],
    ['with TIDEMARK_DIRECT_URL alone', () => ({ TIDEMARK_DIRECT_URL: database.url }), 'DATABASE_URL is not'],
  ])('a start is refused %s', async (_how, env, sentence) => {
    expect(await refusal(env())).toContain(sentence);
  });

  it('a pooler that swallows the startup parameters is found out', async () => {
    const swallowing = await startPgBouncer(
      { tidemark: databaseLine(database.url) },
      'pool_mode = transaction\nignore_startup_parameters = statement_timeout,idle_in_transaction_session_timeout,extra_float_digits',
    );
    expect(await refusal({ DATABASE_URL: swallowing.url('tidemark') })).toContain('Set TIDEMARK_DIRECT_URL');
    await swallowing.stop();
  });
});
