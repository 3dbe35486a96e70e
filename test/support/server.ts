import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { joinEmbedded, stopEmbedded } from '#libs/database';

/** The PostgreSQL that a run of the tests uses. */
export interface TestServer {
  readonly what: string;
  /** A role that may create databases and roles, on a database that always exists. */
  readonly adminUrl: string;
  stop(): Promise<void>;
}

/** TEST_DATABASE_URL; else a container, if an engine answers and has the image; else the embedded server. */
export async function testServer(): Promise<TestServer> {
  const url = process.env['TEST_DATABASE_URL'];
  if (url) return { what: 'TEST_DATABASE_URL', adminUrl: url, stop: async () => undefined };
  return (await container()) ?? (await embedded());
}

async function container(): Promise<TestServer | undefined> {
  if (!engineInSight()) return undefined;
  const image = process.env['TIDEMARK_TEST_IMAGE'] ?? 'postgres:18-alpine';
  // its reaper is an image of its own, which may have to be fetched; teardown and signals stop the container
  process.env['TESTCONTAINERS_RYUK_DISABLED'] ??= 'true';
  const { getContainerRuntimeClient, ImageName } = await import('testcontainers');
  try {
    const client = await getContainerRuntimeClient();
    if (!(await client.image.exists(ImageName.fromString(image)))) return undefined;
  } catch {
    return undefined;
  }
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
  const started = await new PostgreSqlContainer(image)
    .withCommand(['postgres', ...['fsync=off', 'max_connections=300'].flatMap((setting) => ['-c', setting])])
    .start();
  return {
    what: `testcontainers, image ${image}`,
    adminUrl: started.getConnectionUri(),
    stop: async () => void (await started.stop()),
  };
}

/** Whether there is a socket that a container engine may listen on: loading testcontainers takes half a second. */
function engineInSight(): boolean {
  const uid = process.getuid?.();
  return (
    process.env['DOCKER_HOST'] !== undefined ||
    ['/var/run/docker.sock', join(homedir(), '.docker/run/docker.sock'), `/run/user/${uid}/docker.sock`].some(
      existsSync,
    )
  );
}

async function embedded(): Promise<TestServer> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tidemark-test-'));
  const settings = { fsync: 'off', full_page_writes: 'off', max_connections: '300' };
  const server = await joinEmbedded(dataDir, { settings, temporary: true });
  return {
    what: 'embedded server',
    adminUrl: server.ownerUrl,
    async stop() {
      await server.release();
      await stopEmbedded(dataDir, { force: true });
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
