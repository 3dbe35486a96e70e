import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { authenticate } from '#libs/access';
import { Database } from '#libs/database';
import { stopEmbedded } from '#libs/embedded';
import { defineResource } from '#libs/journal';
import { type Config, loadConfig, type Opened, openKernel, openOwner } from '#libs/kernel';
import { waitUntil } from '../support/wait-until.ts';
import { recordingLog } from './recording-log.ts';

const wiki = defineResource<{ id: number; name: string; text: string }>({ name: 'wiki', alias: 'name' });
const options = { resources: [wiki], log: recordingLog() };
let config: Config;
const opened: Opened<unknown>[] = [];

async function open(how: typeof openKernel = openKernel): Promise<Opened<unknown>> {
  const made = await how(config, options);
  opened.push(made);
  return made;
}

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-embedded-'));
  await chmod(folder, 0o755);
  config = loadConfig({ TIDEMARK_DATA_DIR: join(folder, '.tidemark') });
});

afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

afterAll(async () => {
  await stopEmbedded(config.dataDir, { force: true });
  await rm(join(config.dataDir, '..'), { recursive: true });
});

describe('without DATABASE_URL', () => {
  it('the first start makes a database and an admin token, also when two start at once', async () => {
    const [one, two] = await Promise.all([open(), open()]);
    expect([one.firstStart, two.firstStart].sort()).toEqual([false, true]);
    expect(one.adminToken).toBe(two.adminToken);
    const file = join(config.dataDir, 'admin-token');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await readFile(file, 'utf8')).trim()).toBe(one.adminToken);
    expect(await authenticate(two.database, {}, String(one.adminToken))).toMatchObject({
      user: 'admin',
      roles: ['admin'],
    });
  });

  it('a later start finds both', async () => {
    const one = await open();
    expect(one).toMatchObject({
      firstStart: false,
      embedded: true,
      adminToken: expect.stringMatching(/^tdm_/),
    });
    await one.kernel.start();
    expect(one.kernel.epoch).not.toBe('');
  });

  it('a kernel goes on by itself after PostgreSQL was killed', async () => {
    const one = await open();
    await one.kernel.start();
    const owner = Database.open({ url: String(one.ownerUrl), poolSize: 1 });
    const { rows } = await owner.query<{ data_directory: string }>('SHOW data_directory');
    await owner.close();
    const started = async () =>
      (await one.database.query('SELECT pg_postmaster_start_time()::text AS at')).rows[0]?.['at'];
    const before = await started();
    const [postmaster] = (await readFile(join(String(rows[0]?.data_directory), 'postmaster.pid'), 'utf8')).split('\n');
    process.kill(Number(postmaster), 'SIGKILL');

    // a session may outlive its postmaster for a moment, and answer
    const restarted = async () => ![undefined, before].includes(await started().catch(() => undefined));
    await waitUntil(restarted, 'PostgreSQL runs again', 30_000);
    const change = () =>
      one.kernel.transaction({ author: 'joe' }, (tx) => tx.create(wiki, { name: randomUUID(), text: 'x' }));
    const { tid } = await change();
    await one.kernel.dispatcher.waitFor(Number(tid), { timeout: 10_000 });
  });

  it("the program works with its own rights, and an import with the importer's", async () => {
    const role = async (one: Opened<unknown>) =>
      (await one.database.query('SELECT current_user::text AS role')).rows[0]?.['role'];
    expect(await role(await open())).toBe('tidemark');
    expect(await role(await open(openOwner))).toBe('tidemark_importer');
  });
});
