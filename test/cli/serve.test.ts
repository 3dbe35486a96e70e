import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { command, type Started, startCommand } from './command.ts';

let database: TestDatabase;
let folder: string;

beforeAll(async () => {
  database = await testDatabase();
  folder = await mkdtemp(join(tmpdir(), 'tidemark-serve-'));
});

afterAll(async () => {
  await database.drop();
  await rm(folder, { recursive: true });
});

/** Starts a server on any port and returns its address. */
async function serving(env: Record<string, string>): Promise<{ started: Started; url: string }> {
  const started = startCommand(['serve', '--port', '0', '--log-level', 'warn'], env, folder);
  let over = false;
  void started.ended.then(() => {
    over = true;
  });
  await waitUntil(() => over || started.stdout().includes('ready on'), 'the server is ready', 60_000);
  const [url] = /http:\/\/\S+/.exec(started.stdout()) ?? [];
  if (url === undefined) throw new Error(`the server did not start: ${started.stderr()}`);
  return { started, url };
}

test('a server on a given database says where it is, and ends with 0 on SIGTERM and 130 on Ctrl-C', async () => {
  for (const [signal, end] of [
    ['SIGTERM', 0],
    ['SIGINT', 130],
  ] as const) {
    const { started, url } = await serving({ DATABASE_URL: database.url });
    expect((await fetch(`${url}/health/live`)).status).toBe(200);
    started.process.kill(signal);
    expect(await started.ended).toMatchObject({ end, stderr: '' });
    expect(started.stdout()).not.toContain('token');
  }
});

test('a port in use ends with 2 and a sentence', async () => {
  const other = createServer();
  const port = await new Promise<number>((resolve) =>
    other.listen(0, '127.0.0.1', () => resolve((other.address() as { port: number }).port)),
  );
  try {
    const { end, stderr } = await command(['serve', '--port', String(port)], { DATABASE_URL: database.url }, folder);
    expect({ end, stderr }).toEqual({
      end: 2,
      stderr: expect.stringContaining(`127.0.0.1:${port}: the port is in use`),
    });
  } finally {
    other.close();
  }
});

test('the first start on the embedded database prints curl lines that work; the database stops when told to', async () => {
  const first = await serving({});
  const curls = first.started.stdout().match(/^ +curl .*$/gm) ?? [];
  expect(curls.length).toBe(2);
  for (const line of curls) {
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', `${line.replace('curl', 'curl -sS')}`]);
    expect(JSON.parse(stdout)).toMatchObject({ name: 'Hello', text: 'Hello, world!' });
  }
  const tokenFile = join(folder, '.tidemark/admin-token');
  expect((await stat(tokenFile)).mode & 0o777).toBe(0o600);
  expect(first.started.stdout()).toContain((await readFile(tokenFile, 'utf8')).trim());

  const second = await serving({});
  expect(second.started.stdout()).not.toContain('curl');
  expect(await command(['db', 'stop'], {}, folder)).toMatchObject({ end: 4 });
  for (const { started } of [first, second]) {
    started.process.kill('SIGTERM');
    expect(await started.ended).toMatchObject({ end: 0 });
  }
  expect(await command(['db', 'stop'], {}, folder)).toMatchObject({ end: 0 });
}, 120_000);
