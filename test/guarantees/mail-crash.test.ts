import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { addUser } from '#libs/access';
import { Database } from '#libs/database';
import { command } from '../cli/command.ts';
import { endProcess, type ServerProcess, serverProcess } from '../cli/server-process.ts';
import { type MailSink, mailSink, type ReceivedMail } from '../support/mail-sink.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

// 10 s are promised; where the tests share a slow machine, its pauses come on top
const ADOPTED_WITHIN = process.env['TIDEMARK_TEST_LONG'] === '1' ? 10_000 : 20_000;
const TOKEN = 'a-token-for-tests';
let database: TestDatabase;
let owner: Database;
let sink: MailSink;
let folder: string;
let servers: ServerProcess[];
/** Every mail that was handed over whole, taken or not. */
let offered: ReceivedMail[];

beforeEach(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 3, onError: () => undefined });
  folder = await mkdtemp(join(tmpdir(), 'tidemark-mail-'));
  offered = [];
  sink = await mailSink({ onMail: (mail) => void offered.push(mail) });
  servers = [];
  for (const name of ['joe', 'ann']) {
    await addUser(owner, { name, email: `${name}@example.org`, roles: ['editor'] });
  }
});
afterEach(async () => {
  await Promise.all(servers.map((server) => endProcess(server, 'SIGTERM')));
  await sink.close();
  await owner.close();
  await database.drop();
  await rm(folder, { recursive: true });
});

async function serve(): Promise<ServerProcess> {
  const env = { DATABASE_URL: database.url, SMTP_URL: sink.url, TIDEMARK_ADMIN_TOKEN: TOKEN };
  const server = await serverProcess(env, folder);
  servers.push(server);
  return server;
}

async function openTicket({ url }: ServerProcess, fields: object): Promise<string> {
  const answer = await fetch(`${url}/tickets`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ summary: 'It does not work', ...fields }),
  });
  const { id, tid } = (await answer.json()) as { id: string; tid: number };
  return `${tid}:ticket:${id}:mail`;
}

/** What `tidemark effects show` tells. */
async function shown(key: string): Promise<Record<string, unknown>> {
  const { stdout, stderr } = await command(['effects', 'show', key, '--json'], { DATABASE_URL: database.url }, folder);
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}

const isDone = async (key: string) =>
  (
    await owner.query(
      `SELECT FROM tidemark.effects WHERE state = 'done' AND concat_ws(':', tid, resource, id, listener) = $1`,
      [key],
    )
  ).rowCount === 1;
const pid = (server: ServerProcess) => expect.stringContaining(`(${server.started.process.pid})`);

it('a ticket that is changed through SQL makes one mail, from one of two servers, and the ledger tells which', async () => {
  const [one, two] = [await serve(), await serve()];
  await owner.query(`INSERT INTO ticket (summary, owner) VALUES ('It does not work', 'joe')`);
  await waitUntil(() => sink.mails.length === 1, 'the mail of the new ticket has come', 30_000);
  await owner.query(`UPDATE ticket SET owner = 'ann'`);
  const { rows } = await owner.query<{ tid: number }>('SELECT max(tid)::int AS tid FROM ticket_journal');
  const key = `${rows[0]?.tid}:ticket:1:mail`;
  await waitUntil(() => isDone(key), 'the ledger says that it is done', 30_000);
  expect(offered.map(({ to }) => to[0])).toEqual(['joe@example.org', 'ann@example.org', 'joe@example.org']);
  const { ran_by, ...story } = await shown(key);
  const mails = ['ann', 'joe'].map((name) => ({ recipient: `${name}@example.org`, refused: null }));
  expect(story).toMatchObject({ state: 'done', attempts: 1, mails });
  expect([pid(one), pid(two)].filter((matcher) => matcher.asymmetricMatch(ran_by))).toHaveLength(1);
}, 120_000);

it('the mail of a process that is killed before it left is sent by another, under the same Message-ID', async () => {
  const doomed = await serve();
  const heir = await serve();
  sink.onMail = (mail) => {
    offered.push(mail);
    // the first is never taken
    return offered.length === 1 ? new Promise(() => undefined) : undefined;
  };
  const key = await openTicket(doomed, { owner: 'joe' });
  await waitUntil(() => offered.length === 1, 'the mail is on its way');
  const killed = performance.now();
  await endProcess(doomed, 'SIGKILL');
  await waitUntil(() => sink.mails.length === 1, 'the other has sent it', 30_000);
  expect(performance.now() - killed).toBeLessThan(ADOPTED_WITHIN);
  await waitUntil(() => isDone(key), 'the ledger says that it is done');
  expect(new Set(offered.map(({ headers }) => headers['message-id'])).size).toBe(1);
  const past = [{ what: 'lost', by: pid(doomed) }];
  expect(await shown(key)).toMatchObject({ state: 'done', attempts: 2, ran_by: pid(heir), past });
}, 120_000);

it('of several recipients only those are written to again of whom it was not noted that they have got the mail', async () => {
  const doomed = await serve();
  await serve();
  sink.onMail = (mail) => {
    offered.push(mail);
    return offered.length === 2 ? new Promise(() => undefined) : undefined;
  };
  const key = await openTicket(doomed, { owner: 'joe', cc: 'ann' });
  await waitUntil(() => offered.length === 2, 'the second mail is on its way');
  await endProcess(doomed, 'SIGKILL');
  await waitUntil(() => isDone(key), 'the other has finished', 30_000);
  expect(offered.map(({ to }) => to[0])).toEqual(['joe@example.org', 'ann@example.org', 'ann@example.org']);
}, 120_000);

it('a mail that was taken, which the process did not live to note, comes again under the same Message-ID', async () => {
  const doomed = await serve();
  const { promise: held, resolve: answer } = Promise.withResolvers<void>();
  sink.onMail = (mail) => {
    offered.push(mail);
    return offered.length === 1 ? held : undefined;
  };
  const key = await openTicket(doomed, { owner: 'joe' });
  await waitUntil(() => offered.length === 1, 'the mail is on its way');
  const connection = await owner.connect();
  await connection.query('BEGIN');
  await connection.query('SELECT FROM tidemark.effects FOR UPDATE');
  answer();
  const waits = async () => (await owner.query(BLOCKED, [database.name])).rowCount > 0;
  await waitUntil(waits, 'the process waits to note it');
  await endProcess(doomed, 'SIGKILL');
  // its last statement lives on in the server, and must not
  await owner.query(`SELECT pg_terminate_backend(pid) FROM (${BLOCKED}) blocked`, [database.name]);
  await connection.query('ROLLBACK');
  connection.release();
  await serve();
  await waitUntil(() => isDone(key), 'it is done', 30_000);
  expect(sink.mails).toHaveLength(2);
  expect(new Set(sink.mails.map(({ headers }) => headers['message-id'])).size).toBe(1);
}, 120_000);

const BLOCKED = `SELECT pid FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'`;
