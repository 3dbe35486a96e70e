import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { addUser } from '#libs/access';
import { Database } from '#libs/database';
import { endProcess, type ServerProcess, serverProcess } from '../cli/server-process.ts';
import { type MailSink, mailSink } from '../support/mail-sink.ts';
import { type OwnServer, ownServer } from '../support/own-server.ts';
import { waitUntil } from '../support/wait-until.ts';

const long = process.env['TIDEMARK_TEST_LONG'] === '1';
const MUTATIONS = long ? 1_000 : 160;
const KILLS = long ? 20 : 4;
const TOKEN = 'a-token-for-tests';

let postgres: OwnServer;
let owner: Database;
let folder: string;
let sink: MailSink;
let receiver: HttpServer;
/** The idempotency key of every webhook request that came. */
const received: string[] = [];
const living: ServerProcess[] = [];

beforeAll(async () => {
  postgres = await ownServer();
  owner = Database.open({ url: postgres.ownerUrl, poolSize: 2, onError: () => undefined });
  folder = await mkdtemp(join(tmpdir(), 'tidemark-servers-'));
  sink = await mailSink();
  receiver = createServer((request, response) => {
    received.push(String(request.headers['webhook-id']));
    request.resume().on('end', () => response.end());
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  await addUser(owner, { name: 'joe', email: 'joe@example.org', roles: ['editor'] });
}, 60_000);

afterAll(async () => {
  await Promise.all(living.map((server) => endProcess(server, 'SIGKILL')));
  await sink.close();
  receiver.closeAllConnections();
  await new Promise((resolve) => receiver.close(resolve));
  await owner.close();
  await postgres.stop();
  await rm(folder, { recursive: true });
});

function serve(): Promise<ServerProcess> {
  const sends = { SMTP_URL: sink.url, TIDEMARK_WEBHOOK_ALLOW: '127.0.0.1' };
  return serverProcess({ DATABASE_URL: postgres.url, TIDEMARK_ADMIN_TOKEN: TOKEN, ...sends }, folder);
}

/** One mutation, once: asked of one server after the other, under the same key, until one has answered. */
async function mutate(n: number, method: string, path: string, body: object): Promise<{ id: string; tid: number }> {
  for (let attempt = n; ; attempt++) {
    try {
      const { url } = living[attempt % living.length] as ServerProcess;
      const answer = await fetch(`${url}${path}`, {
        ...{ method, body: JSON.stringify(body) },
        headers: {
          ...{ authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
          'idempotency-key': `${method}:${path}:${n}`,
        },
      });
      if (answer.ok) return (await answer.json()) as { id: string; tid: number };
      // 409: the one before it, whose server was killed, still runs in the database
      if (![409, 503].includes(answer.status)) throw new Error(`${answer.status} ${await answer.text()}`);
    } catch (error) {
      if ((error as Error).name !== 'TypeError') throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

it(
  `of ${MUTATIONS} changes through four servers, killed ${KILLS} times and their database once, every mail and every webhook arrives`,
  async () => {
    for (let n = 0; n < 4; n++) living.push(await serve());
    await mutate(0, 'POST', '/webhooks', {
      url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`,
      filter: { resources: ['ticket'] },
    });
    const keys: string[] = [];
    let next = 0;
    const client = async () => {
      while (next < MUTATIONS) {
        const n = next;
        next += 2;
        const opened = await mutate(n, 'POST', '/tickets', { summary: `Ticket ${n}`, owner: 'joe' });
        keys.push(`${opened.tid}:ticket:${opened.id}`);
        // two mutations of one row: their effects come in order
        const changed = await mutate(n, 'PATCH', `/tickets/${opened.id}`, { comment: 'Still' });
        keys.push(`${changed.tid}:ticket:${opened.id}`);
      }
    };
    const clients = Promise.all(Array.from({ length: 4 }, client));
    for (let kill = 1; kill <= KILLS; kill++) {
      await waitUntil(() => keys.length >= (MUTATIONS * kill) / (KILLS + 1), 'the servers are at work', 60_000);
      const victim = Math.trunc(Math.random() * 4);
      await endProcess(living[victim] as ServerProcess, 'SIGKILL');
      if (kill === Math.trunc(KILLS / 2)) {
        await postgres.kill9();
        await postgres.start();
      }
      living[victim] = await serve();
    }
    await clients;
    const open = `SELECT FROM tidemark.effects WHERE state <> 'done'`;
    const swept = `SELECT FROM tidemark.listener_positions WHERE tid < (SELECT max(tid) FROM tidemark.journal)`;
    const left = async () => (await owner.query(`${open} UNION ALL ${swept}`)).rowCount;
    await waitUntil(async () => (await left()) === 0, 'all effects are done', 60_000);

    expect(keys).toHaveLength(MUTATIONS);
    const { rows } = await owner.query<{ n: number }>('SELECT count(*)::int AS n FROM ticket_journal');
    expect(rows).toEqual([{ n: MUTATIONS }]);
    const mails = sink.mails.map(({ headers }) => headers['message-id'] as string);
    expect([new Set(mails).size, new Set(received).size]).toEqual([MUTATIONS, MUTATIONS]);
    for (const [what, all] of Object.entries({ mails, received })) {
      const repeated = all.length - MUTATIONS;
      console.log(`${what}: ${MUTATIONS} arrived, ${repeated} of them twice, with ${KILLS} kills`);
      expect(repeated).toBeLessThanOrEqual(long ? MUTATIONS * 0.02 : KILLS * 4);
    }
  },
  long ? 900_000 : 240_000,
);
