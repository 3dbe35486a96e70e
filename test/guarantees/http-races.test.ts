import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { type Started, startCommand } from '../cli/command.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

// Eight clients, three server processes, the same request at the same moment, again and again.

const long = process.env['TIDEMARK_TEST_LONG'] === '1';
const ROUNDS = long ? 10_000 : 150;
const CLIENTS = 8;
const TOKEN = 'a-token-for-the-races';

let database: TestDatabase;
let owner: Database;
let folder: string;
let servers: { started: Started; url: string }[];

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 1 });
  folder = await mkdtemp(join(tmpdir(), 'tidemark-races-'));
  servers = await Promise.all([1, 2, 3].map(startServer));
}, 120_000);

afterAll(async () => {
  for (const { started } of servers ?? []) started.process.kill('SIGTERM');
  await Promise.all((servers ?? []).map(({ started }) => started.ended));
  await owner?.close();
  await database?.drop();
  await rm(folder, { recursive: true });
});

async function startServer() {
  const env = { DATABASE_URL: database.url, TIDEMARK_ADMIN_TOKEN: TOKEN };
  const started = startCommand(['serve', '--port', '0', '--log-level', 'error'], env, folder);
  await waitUntil(() => started.stdout().includes('ready on'), 'the server is ready', 60_000);
  return { started, url: (/http:\/\/\S+/.exec(started.stdout()) as RegExpExecArray)[0] };
}

interface Answer {
  readonly status: number;
  readonly etag: string;
  readonly tid: string | null;
  readonly replayed: boolean;
  readonly text: string;
}

async function ask(n: number, method: string, name: string, headers: Record<string, string>, text?: string) {
  const answer = await fetch(`${servers[n % 3]?.url}/wiki/${name}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', ...headers },
    ...(text === undefined ? {} : { body: JSON.stringify({ text }) }),
  });
  const body = (await answer.json()) as { text?: string };
  return {
    status: answer.status,
    etag: answer.headers.get('etag') ?? '',
    tid: answer.headers.get('tidemark-tid'),
    replayed: answer.headers.get('idempotency-replayed') === 'true',
    text: body.text ?? '',
  } satisfies Answer;
}

const race = (name: string, headers: Record<string, string>, text: (n: number) => string): Promise<Answer[]> =>
  Promise.all(Array.from({ length: CLIENTS }, (_, n) => ask(n, 'PUT', name, headers, text(n))));

const statuses = (answers: readonly Answer[]) => Object.groupBy(answers, ({ status }) => status);

async function journaled(name: string): Promise<number> {
  const { rows } = await owner.query<{ count: string }>(
    `SELECT count(*)::text AS count FROM wiki_journal WHERE id = (SELECT id::text FROM wiki WHERE name = $1)`,
    [name],
  );
  return Number(rows[0]?.count);
}

it(
  `in ${ROUNDS} rounds of If-Match exactly one of ${CLIENTS} wins each time, and no update is lost`,
  async () => {
    let { etag } = await ask(0, 'PUT', 'Counter', {}, '0');
    for (let round = 1; round <= ROUNDS; round++) {
      const answers = await race('Counter', { 'if-match': etag }, (n) => `${round} by ${n}`);
      const { 200: won = [], 412: lost = [] } = statuses(answers);
      expect([won.length, lost.length]).toEqual([1, CLIENTS - 1]);
      const winner = won[0] as Answer;
      // whoever lost is told the version that stands
      expect(new Set(lost.map((answer) => answer.etag))).toEqual(new Set([winner.etag]));
      const now = await ask(round, 'GET', 'Counter', {});
      expect([now.text, now.etag]).toEqual([winner.text, winner.etag]);
      etag = winner.etag;
    }
    expect(await journaled('Counter')).toBe(ROUNDS + 1);
  },
  long ? 1_800_000 : 120_000,
);

it(
  `in ${ROUNDS} rounds of If-None-Match: * exactly one of ${CLIENTS} creates the page each time`,
  async () => {
    for (let round = 1; round <= ROUNDS; round++) {
      const answers = await race('New', { 'if-none-match': '*' }, (n) => `${round} by ${n}`);
      const { 201: won = [], 412: lost = [] } = statuses(answers);
      expect([won.length, lost.length]).toEqual([1, CLIENTS - 1]);
      expect(new Set(lost.map((answer) => answer.etag))).toEqual(new Set([won[0]?.etag]));
      expect(await journaled('New')).toBe(1);
      expect((await ask(round, 'DELETE', 'New', {})).status).toBe(200);
    }
  },
  long ? 1_800_000 : 120_000,
);

it(
  `in ${ROUNDS} rounds of one Idempotency-Key exactly one of ${CLIENTS} changes something each time`,
  async () => {
    for (let round = 1; round <= ROUNDS; round++) {
      const answers = await race('Keyed', { 'idempotency-key': `round-${round}` }, () => `round ${round}`);
      const { 200: done = [], 201: made = [], 409: waiting = [] } = statuses(answers);
      const first = [...done, ...made].filter(({ replayed }) => !replayed);
      expect([first.length, done.length + made.length + waiting.length]).toEqual([1, CLIENTS]);
      // a replay is the first answer
      for (const answer of [...done, ...made]) expect({ ...answer, replayed: false }).toEqual(first[0]);
    }
    expect(await journaled('Keyed')).toBe(ROUNDS);
  },
  long ? 1_800_000 : 120_000,
);
