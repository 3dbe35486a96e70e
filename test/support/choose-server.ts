import { existsSync } from 'node:fs';
import { ownServer } from './own-server.ts';

/** The PostgreSQL that a run of the tests uses. */
export interface ChosenServer {
  /** A role that may create databases and roles, on a database that is always there. */
  readonly adminUrl: string;
  readonly kind: string;
  /** Stops it, if the run has started it. */
  stop(): Promise<unknown>;
}

/** TEST_DATABASE_URL; else a container, if an engine answers and has the image; else the embedded server. */
export async function chooseServer(): Promise<ChosenServer> {
  const given = process.env['TEST_DATABASE_URL'];
  if (given) return { adminUrl: given, kind: 'the server of TEST_DATABASE_URL', stop: async () => undefined };
  return (await startContainer()) ?? (await startEmbedded());
}

async function startEmbedded(): Promise<ChosenServer> {
  const server = await ownServer({
    migrated: false,
    settings: { fsync: 'off', full_page_writes: 'off', max_prepared_transactions: '10' },
  });
  return { adminUrl: server.ownerUrl, kind: 'the embedded server', stop: server.stop };
}

/** Only where an engine answers and the image is there: nothing is pulled. */
async function startContainer(): Promise<ChosenServer | undefined> {
  if (!process.env['DOCKER_HOST'] && !existsSync('/var/run/docker.sock')) return undefined;
  const image = process.env['TIDEMARK_TEST_IMAGE'] ?? 'postgres:18-alpine';
  // its reaper is an image of its own, which might have to be fetched
  process.env['TESTCONTAINERS_RYUK_DISABLED'] ??= 'true';
  try {
    const { getContainerRuntimeClient } = await import('testcontainers');
    const client = await getContainerRuntimeClient();
    await client.container.dockerode.getImage(image).inspect();
  } catch {
    return undefined;
  }
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
  const command = ['postgres', '-c', 'fsync=off', '-c', 'max_connections=200', '-c', 'max_prepared_transactions=10'];
  const container = await new PostgreSqlContainer(image).withCommand(command).start();
  return {
    adminUrl: container.getConnectionUri(),
    kind: `testcontainers, image ${image}`,
    stop: () => container.stop(),
  };
}
