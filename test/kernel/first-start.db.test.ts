import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { defineResource } from '#libs/journal';
import { loadConfig, openKernel } from '#libs/kernel';
import { migrate, migrationsFolder } from '#libs/migrations';
import { startCommand } from '../cli/command.ts';
import { type Gate, gateBefore } from '../support/gate.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { recordingLog } from './recording-log.ts';

const wiki = defineResource({ name: 'wiki', alias: 'name' });
const role = `tm_test_${randomBytes(6).toString('hex')}`;
let folder: string;
let cluster: TestDatabase;
let admin: Database;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-first-'));
  // migrated: so that the role tidemark_app is there
  cluster = await testDatabase();
  admin = Database.open({ url: cluster.ownerUrl, poolSize: 1 });
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret' IN ROLE tidemark_app`);
});

afterAll(async () => {
  await admin.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  await admin.close();
  await cluster.drop();
  rmSync(folder, { recursive: true });
});

function programUrl({ ownerUrl }: TestDatabase): string {
  return Object.assign(new URL(ownerUrl), { username: role, password: 'secret' }).href;
}

/** Opens a kernel that has asked for its rights before another process migrates, and for what is pending after. */
async function openAcrossMigration(
  empty: TestDatabase,
  urls: (through: Gate) => Record<string, string>,
  passing: number,
) {
  const gate = await gateBefore(empty.ownerUrl, passing);
  try {
    const config = loadConfig({ ...urls(gate), TIDEMARK_POOL_SIZE: '2' });
    const opening = openKernel(config, { resources: [wiki], log: recordingLog() });
    opening.catch(() => undefined);
    await waitUntil(() => gate.waiting > 0, 'it asks what is pending');
    await migrate(empty.ownerUrl, [migrationsFolder]);
    gate.open();
    const { database, close } = await opening;
    const { rows } = await database.query('SELECT current_user::text AS me');
    await close();
    return rows[0]?.['me'];
  } finally {
    await gate.close();
  }
}

it('a kernel that starts while another process migrates works on what that has made', async () => {
  const empty = await testDatabase({ migrated: false });
  const urls = ({ url }: Gate) => ({ DATABASE_URL: programUrl(empty), DATABASE_OWNER_URL: url(empty.ownerUrl) });
  expect(await openAcrossMigration(empty, urls, 0)).toBe(role);
  await empty.drop();
});

it('and never with the rights of an owner that it did not know to be one', async () => {
  const empty = await testDatabase({ migrated: false });
  await admin.query(`GRANT tidemark_importer TO ${role}; ALTER DATABASE ${empty.name} OWNER TO ${role}`);
  const owned = { ...empty, ownerUrl: programUrl(empty) };
  expect(await openAcrossMigration(owned, ({ url }) => ({ DATABASE_URL: url(owned.ownerUrl) }), 2)).toBe(
    'tidemark_app',
  );
  await empty.drop();
});

it('servers that are started at once on an empty database all serve', async () => {
  const empty = await testDatabase({ migrated: false });
  const env = { DATABASE_URL: programUrl(empty), DATABASE_OWNER_URL: empty.ownerUrl };
  const servers = Array.from({ length: 5 }, () =>
    startCommand(['serve', '--port', '0', '--log-level', 'warn'], env, folder),
  );
  const over = Promise.race(servers.map(({ ended }) => ended));
  const ready = waitUntil(() => servers.every(({ stdout }) => stdout().includes('ready on')), 'all serve', 60_000);
  const failed = await Promise.race([ready, over.then(({ stderr }) => stderr)]);
  for (const server of servers) server.process.kill('SIGTERM');
  await Promise.all(servers.map(({ ended }) => ended));
  await ready.catch(() => undefined);
  await empty.drop();
  expect(failed).toBeUndefined();
}, 120_000);
