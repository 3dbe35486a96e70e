import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { endProcess, type ServerProcess, serverProcess } from '../cli/server-process.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { status, type WebhookReceiver, webhookReceiver } from '../support/webhook-receiver.ts';

const TOKEN = 'a-token-for-tests';
const PATIENCE = 60_000;

let database: TestDatabase;
let owner: Database;
let receiver: WebhookReceiver;
let folder: string;
let servers: ServerProcess[];

beforeEach(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 2 });
  receiver = await webhookReceiver();
  folder = await mkdtemp(join(tmpdir(), 'tidemark-webhook-'));
  servers = [];
});
afterEach(async () => {
  await receiver.close();
  await Promise.all(servers.map((server) => endProcess(server, 'SIGTERM')));
  await owner.close();
  await database.drop();
  await rm(folder, { recursive: true });
});

async function serve(): Promise<ServerProcess> {
  const env = { DATABASE_URL: database.url, TIDEMARK_ADMIN_TOKEN: TOKEN, TIDEMARK_WEBHOOK_ALLOW: '127.0.0.1' };
  const server = await serverProcess(env, folder);
  servers.push(server);
  return server;
}

async function send(
  { url }: ServerProcess,
  method: string,
  path: string,
  body: object,
): Promise<{ id: string; tid: number }> {
  const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
  const answer = await fetch(`${url}${path}`, { method, headers, body: JSON.stringify(body) });
  return (await answer.json()) as { id: string; tid: number };
}

const addHook = (server: ServerProcess) =>
  send(server, 'POST', '/webhooks', { url: receiver.url, filter: { resources: ['wiki'] } });

async function isDone(count: number): Promise<boolean> {
  const { rowCount } = await owner.query(`SELECT FROM tidemark.effects WHERE state = 'done'`);
  return rowCount === count;
}

it('a message of a process that is killed while it waits for the answer is sent by another, under the same id', async () => {
  const [doomed, heir] = [await serve(), await serve()];
  await addHook(doomed);
  // the first is never answered
  receiver.answer = (response) => (receiver.messages.length === 1 ? undefined : status(response, 204));
  await send(doomed, 'PUT', '/wiki/Page', { text: 'text' });
  await waitUntil(() => receiver.messages.length === 1, 'the message is on its way', PATIENCE);
  await endProcess(doomed, 'SIGKILL');
  await waitUntil(() => isDone(1), 'the other has sent it', PATIENCE);
  const ids = receiver.messages.map(({ headers }) => headers['webhook-id']);
  expect([ids.length, new Set(ids).size]).toEqual([2, 1]);
  const { rows } = await owner.query('SELECT ran_by, past FROM tidemark.effects');
  expect(rows[0]).toMatchObject({
    ran_by: expect.stringContaining(`(${heir.started.process.pid})`),
    past: [{ what: 'lost', by: expect.stringContaining(`(${doomed.started.process.pid})`) }],
  });
}, 180_000);

it('what changes between the making of a webhook and the death of all servers, and after it, is told when one comes', async () => {
  const doomed = await serve();
  // A transaction that is open holds the tail back: no process learns of the webhook, nor of the page, before it is killed.
  const holder = await owner.connect();
  await holder.query('BEGIN');
  await holder.query(`INSERT INTO wiki (name, text) VALUES ('Held', 'text')`);
  await addHook(doomed);
  const page = await send(doomed, 'PUT', '/wiki/Page', { text: 'text' });
  await endProcess(doomed, 'SIGKILL');
  await holder.query('COMMIT');
  holder.release();
  const { rows } = await owner.query(`INSERT INTO wiki (name, text) VALUES ('Raw', 'text') RETURNING id::text AS id`);
  expect(receiver.messages).toEqual([]);
  await serve();
  await waitUntil(() => isDone(2), 'both are told', PATIENCE);
  expect(receiver.messages.map(({ json }) => json.data.id).sort()).toEqual([page.id, String(rows[0]?.['id'])].sort());
}, 180_000);
