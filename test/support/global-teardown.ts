import type { Database } from '#libs/database';
import type { TestServer } from './test-database.ts';

/** Leaves nothing behind: databases that a failed test has left, the template, the role, the server. */
export default async function teardown(): Promise<void> {
  const { server, admin, stop } = (globalThis as Record<string, unknown>)['testServer'] as {
    server: TestServer;
    admin: Database;
    stop(): Promise<unknown>;
  };
  const { rows } = await admin.query<{ datname: string }>(
    'SELECT datname FROM pg_database WHERE starts_with(datname, $1)',
    [`${server.role}_`],
  );
  for (const { datname } of rows) await admin.query(`DROP DATABASE ${datname} WITH (FORCE)`);
  await admin.query(`DROP ROLE ${server.role}`);
  await admin.close();
  await stop();
}
