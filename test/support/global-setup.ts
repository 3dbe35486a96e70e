import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { Database, migrate, migrationsFolder } from '#libs/database';
import { ownServer } from './own-server.ts';
import { type TestServer, urlOn } from './test-database.ts';

/** Chooses the server that the tests run on, says which, and makes the migrated template that each test file gets a copy of. */
export default async function setup(): Promise<void> {
  const { adminUrl, stop, kind } = await chooseServer();
  const run = randomBytes(4).toString('hex');
  const server: TestServer = {
    adminUrl,
    template: `tidemark_${run}_template`,
    role: `tidemark_${run}`,
    password: randomBytes(12).toString('hex'),
  };
  const admin = Database.open({ url: adminUrl, poolSize: 1 });
  const { rows } = await admin.query<{ version: string }>(
    `SELECT current_setting('server_version') AS version`,
  );
  process.stdout.write(`Tests run on PostgreSQL ${rows[0]?.version}: ${kind}\n`);
  await admin.query(`CREATE DATABASE ${server.template} TEMPLATE template0 ENCODING 'UTF8'`);
  await migrate(urlOn(adminUrl, server.template), [migrationsFolder]);
  await admin.query(`CREATE ROLE ${server.role} LOGIN PASSWORD '${server.password}' IN ROLE tidemark_app`);
  process.env['TEST_SERVER'] = JSON.stringify(server);
  (globalThis as Record<string, unknown>)['testServer'] = { server, admin, stop };
}

interface Chosen {
  adminUrl: string;
  kind: string;
  stop(): Promise<unknown>;
}

async function chooseServer(): Promise<Chosen> {
  const given = process.env['TEST_DATABASE_URL'];
  if (given) return { adminUrl: given, kind: 'the server of TEST_DATABASE_URL', stop: async () => undefined };
  return (await startContainer()) ?? (await startEmbedded());
}

async function startEmbedded(): Promise<Chosen> {
  const server = await ownServer({
    migrated: false,
    settings: { fsync: 'off', full_page_writes: 'off', max_prepared_transactions: '10' },
  });
  return { adminUrl: server.ownerUrl, kind: 'the embedded server', stop: server.stop };
}

/** Only where an engine answers and the image is there: nothing is pulled. */
async function startContainer(): Promise<Chosen | undefined> {
  if (!process.env['DOCKER_HOST'] && !existsSync('/var/run/docker.sock')) return undefined;
  const image = process.env['TIDEMARK_TEST_IMAGE'] ?? 'postgres:18-alpine';
  try {
    const { getContainerRuntimeClient } = await import('testcontainers');
    const client = await getContainerRuntimeClient();
    await client.container.dockerode.getImage(image).inspect();
  } catch {
    return undefined;
  }
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
  const command = [
    'postgres',
    '-c',
    'fsync=off',
    '-c',
    'max_connections=200',
    '-c',
    'max_prepared_transactions=10',
  ];
  const container = await new PostgreSqlContainer(image).withCommand(command).start();
  return {
    adminUrl: container.getConnectionUri(),
    kind: `testcontainers, image ${image}`,
    stop: () => container.stop(),
  };
}
