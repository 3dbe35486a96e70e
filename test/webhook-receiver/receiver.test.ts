import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { settled } from '#libs/testing';
import { testServer } from '../server/server-fixture.ts';
import { freePort } from '../support/free-port.ts';
import { repositoryRoot } from '../support/repository-root.ts';
import { testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

const PATIENCE = 30_000;

it('the receiver of docs/webhooks.md takes what is signed, and nothing else', async () => {
  const database = await testDatabase();
  const server = await testServer(database.url, { TIDEMARK_WEBHOOK_ALLOW: 'localhost' });
  const url = `http://localhost:${await freePort()}/`;
  const answer = await server.send('POST', '/webhooks', { url, filter: { resources: ['wiki'] } });
  const { secret } = await answer.json();
  const receiver = start({ WEBHOOK_SECRET: secret, PORT: new URL(url).port });
  let printed = '';
  receiver.stdout?.on('data', (chunk: Buffer) => {
    printed += chunk;
  });
  try {
    const forged = () =>
      fetch(url, { method: 'POST', body: '{}', headers: { 'webhook-id': '1' } }).catch(() => undefined);
    await waitUntil(async () => (await forged())?.status === 401, 'it runs, and refuses what is not signed', PATIENCE);
    const { id } = await (await server.put('Page', 'text')).json();
    await server.put('Page', 'another text');
    await settled(server.kernel, { timeout: PATIENCE });
    const lines = `admin made wiki.created of ${id}\nadmin made wiki.modified of ${id}\n`;
    await waitUntil(() => printed.length >= lines.length, 'it has taken both', PATIENCE);
    expect(printed).toBe(lines);
  } finally {
    receiver.kill();
    await once(receiver, 'close');
    await server.close();
    await database.drop();
  }
}, 120_000);

function start(env: Record<string, string>): ChildProcess {
  const file = join(repositoryRoot(), 'test/webhook-receiver/receiver.mjs');
  return spawn(process.execPath, [file], { env, stdio: ['ignore', 'pipe', 'inherit'] });
}
