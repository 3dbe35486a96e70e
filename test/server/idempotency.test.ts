import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { pruneAnswers } from '../../apps/server/idempotency/idempotency.queries.ts';
import { startCommand } from '../cli/command.ts';
import { databaseProxy } from '../support/database-proxy.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Answer, type TestServer, TOKEN, testServer } from './server-fixture.ts';

let database: TestDatabase;
let owner: Database;
let servers: TestServer[];
let a: TestServer;
let b: TestServer;
let c: TestServer;

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 2 });
  [a, b, c] = await Promise.all([testServer(database.url), testServer(database.url), testServer(database.url)]);
  servers = [a, b, c];
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.close()));
  await owner?.close();
  await database?.drop();
});

const put = (key: string, name: string, text: string, server = a, headers = {}) =>
  server.send('PUT', `/wiki/${encodeURIComponent(name)}`, { text }, { 'idempotency-key': key, ...headers });
// of this database only: others are tested on the same server
const LOCK_WAITS = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
const replayed = (answer: Answer) => answer.headers.get('idempotency-replayed') === 'true';
const versions = async (name: string) =>
  (
    await owner.query(
      `SELECT FROM wiki_journal j JOIN wiki_history h USING (tid, id) WHERE field = 'name' AND value = to_jsonb($1::text)`,
      [name],
    )
  ).rowCount;

it('a repeated request gets the first answer, byte for byte, and changes nothing', async () => {
  const first = await put('k-first', 'Keyed', 'text');
  const second = await put('k-first', 'Keyed', 'text', b);
  expect([first.status, replayed(first)]).toEqual([201, false]);
  expect([second.status, replayed(second)]).toEqual([201, true]);
  for (const name of ['tidemark-tid', 'etag', 'location', 'content-type']) {
    expect([name, second.headers.get(name)]).toEqual([name, first.headers.get(name)]);
  }
  expect(await second.text()).toBe(await first.text());
  expect(await versions('Keyed')).toBe(1);
});

it('the answer is replayed after the page has changed, and after it is gone', async () => {
  const first = await (await put('k-later', 'Later', 'text')).text();
  await a.put('Later', 'changed');
  expect(await (await put('k-later', 'Later', 'text')).text()).toBe(first);
  await a.ask('/wiki/Later', { method: 'DELETE' });
  expect(await (await put('k-later', 'Later', 'text')).text()).toBe(first);
  expect((await a.ask('/wiki/Later')).status).toBe(404);
});

it.each([
  ['another body', { text: 'other' }, '/wiki/Reused'],
  ['another path', { text: 'text' }, '/wiki/Reused2'],
])('a key that comes with %s is refused', async (_, body, path) => {
  await put('k-reused', 'Reused', 'text');
  const answer = await a.send('PUT', path, body, { 'idempotency-key': 'k-reused' });
  expect([answer.status, (await answer.json()).code]).toEqual([422, 'invalid']);
  expect((await (await a.ask('/wiki/Reused')).json()).text).toBe('text');
});

it('what is refused is not stored: the same key may be used for what is right', async () => {
  const refused = await put('k-again', 'a//b', 'text');
  expect(refused.status).toBe(422);
  const condition = await put('k-again', 'Again', 'text', a, { 'if-match': '"1-1"' });
  expect(condition.status).toBe(412);
  const { rows } = await owner.query(`SELECT FROM tidemark.idempotency_keys WHERE key = 'k-again'`);
  expect(rows).toHaveLength(0);
  expect((await put('k-again', 'Again', 'text')).status).toBe(201);
});

it('a keyed change that changes nothing is answered and replayed without a tid', async () => {
  await a.put('Unchanged', 'text');
  const first = await put('k-none', 'Unchanged', 'text');
  const second = await put('k-none', 'Unchanged', 'text');
  expect([first.status, second.status, replayed(second)]).toEqual([200, 200, true]);
  expect([first.headers.get('tidemark-tid'), second.headers.get('tidemark-tid')]).toEqual([null, null]);
});

it.each(['', 'a b', 'x'.repeat(256), 'caf\u00e9'])('the key %j is malformed', async (key) => {
  const answer = await put(key, 'Malformed', 'text');
  expect([answer.status, (await answer.json()).code]).toEqual([400, 'malformed']);
});

it('DELETE and rename are replayed, too', async () => {
  await a.put('Short', 'text');
  const rename = () =>
    a.send('POST', '/wiki/Short/rename', { to: 'Long', redirect: true }, { 'idempotency-key': 'k-rename' });
  const renames = [await rename(), await rename()];
  expect(renames.map((answer) => answer.status)).toEqual([200, 200]);
  const remove = () => b.ask('/wiki/Long', { method: 'DELETE', headers: { 'idempotency-key': 'k-delete' } });
  const removals = [await remove(), await remove()];
  expect(removals.map((answer) => answer.status)).toEqual([200, 200]);
  expect(await removals[1]?.text()).toBe(await removals[0]?.text());
});

it('a key that is still running is a conflict, and holds up no tail', async () => {
  const connection = await owner.connect();
  await connection.query('BEGIN');
  // the row that the first request is about to write is held, so it cannot end
  await a.put('Slow', 'text');
  await connection.query(`SELECT FROM wiki WHERE name = 'Slow' FOR UPDATE`);
  const first = put('k-slow', 'Slow', 'changed', a);
  await waitUntil(async () => (await owner.query(LOCK_WAITS)).rowCount > 0, 'the first request waits for the row');
  const second = await put('k-slow', 'Slow', 'changed', b);
  expect([second.status, (await second.json()).code]).toEqual([409, 'conflict']);
  const other = await b.put('Unrelated', 'text');
  const tid = other?.headers.get('tidemark-tid') as string;
  expect((await c.ask('/wiki', { headers: { 'tidemark-wait-for': tid } })).status).toBe(200);
  await connection.query('ROLLBACK');
  connection.release();
  expect((await first).status).toBe(200);
  expect(replayed(await put('k-slow', 'Slow', 'changed', b))).toBe(true);
});

it('of eight clients racing with one key over three servers one changes something, all others replay it or are told to wait', async () => {
  for (let round = 0; round < 25; round++) {
    const name = `Raced${round}`;
    const race = Array.from({ length: 8 }, (_, n) => put(`k-race-${round}`, name, 'text', servers[n % 3]));
    const answers = await Promise.all(race);
    expect(answers.filter((answer) => answer.status === 201 && !replayed(answer))).toHaveLength(1);
    for (const answer of answers) {
      expect(answer.status === 409 || (answer.status === 201 && answer.headers.get('tidemark-tid') !== null)).toBe(
        true,
      );
    }
    expect(await versions(name)).toBe(1);
  }
});

it('after 24 hours a key is free again, and its answer is deleted', async () => {
  const age = `UPDATE tidemark.idempotency_keys SET created = created - interval '25 hours' WHERE key = $1`;
  await put('k-old', 'Old', 'text');
  await owner.query(age, ['k-old']);
  const again = await put('k-old', 'Old', 'changed');
  expect([again.status, replayed(again)]).toEqual([200, false]);
  await owner.query(age, ['k-old']);
  expect(await pruneAnswers(a.database, 1_000)).toBe(1);
  expect(await pruneAnswers(a.database, 1_000)).toBe(0);
});

it('a server that is killed between commit and answer has stored the answer', async () => {
  const proxy = await databaseProxy(database.url);
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-idempotency-'));
  const env = { DATABASE_URL: proxy.url, TIDEMARK_ADMIN_TOKEN: TOKEN };
  const started = startCommand(['serve', '--port', '0', '--log-level', 'error'], env, folder);
  try {
    await waitUntil(() => started.stdout().includes('ready on'), 'the server is ready', 60_000);
    const url = (/http:\/\/\S+/.exec(started.stdout()) as RegExpExecArray)[0];
    const committed = proxy.holdAfterCommit('k-killed');
    const headers = {
      authorization: `Bearer ${TOKEN}`,
      'content-type': 'application/json',
      'idempotency-key': 'k-killed',
    };
    const asked = fetch(`${url}/wiki/Killed`, { method: 'PUT', headers, body: '{"text":"text"}' }).then(
      (answer) => `answered ${answer.status}`,
      () => 'no answer',
    );
    await committed;
    started.process.kill('SIGKILL');
    expect(await asked).toBe('no answer');
    expect(await versions('Killed')).toBe(1);
    const replay = await put('k-killed', 'Killed', 'text');
    expect([replay.status, replayed(replay)]).toEqual([201, true]);
    expect(await replay.json()).toMatchObject({ name: 'Killed', version: 1, text: 'text' });
    expect(await versions('Killed')).toBe(1);
  } finally {
    started.process.kill('SIGKILL');
    await started.ended;
    await proxy.close();
    await rm(folder, { recursive: true });
  }
});
