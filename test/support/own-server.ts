import { chmodSync, mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Database } from '#libs/database';
import { migrate, migrationsFolder } from '#libs/migrations';
import { findBinaries } from '../../libs/embedded/binaries.ts';
import { accountOf, makePlace } from '../../libs/embedded/place.ts';
import { type Cluster, createCluster, type Postgres, startPostgres } from '../../libs/embedded/postgres.ts';

/** A PostgreSQL of a test's own, to stop and to kill. */
export interface OwnServer {
  readonly url: string;
  readonly ownerUrl: string;
  /** SIGKILL to the postmaster; resolves when it is gone. */
  kill9(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the packaged PostgreSQL in a temporary folder, durable unless the settings say otherwise. */
export async function ownServer(
  options: { migrated?: boolean; settings?: Record<string, string> } = {},
): Promise<OwnServer> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-'));
  chmodSync(folder, 0o755);
  const place = makePlace(folder);
  const account = accountOf(place);
  const cluster: Cluster = {
    ...{ place, account, binaries: findBinaries(account, place), settings: options.settings ?? {} },
    log: () => undefined,
  };
  await createCluster(cluster, { sync: false });
  let postgres: Postgres = await startPostgres(cluster);
  const url = (role: string, database: string) =>
    `postgres://${role}@localhost/${database}?host=${encodeURIComponent(place)}`;
  if (options.migrated !== false) await prepare(url);
  return {
    url: url('tidemark', 'tidemark'),
    ownerUrl: url('postgres', options.migrated === false ? 'postgres' : 'tidemark'),
    async kill9() {
      process.kill(Number(readFileSync(join(place, 'data/postmaster.pid'), 'utf8').split('\n')[0]), 'SIGKILL');
      await postgres.gone;
    },
    async start() {
      postgres = await startPostgres(cluster);
    },
    async stop() {
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function prepare(url: (role: string, database: string) => string): Promise<void> {
  const admin = Database.open({ url: url('postgres', 'postgres'), poolSize: 1 });
  await admin.query('CREATE DATABASE tidemark');
  await admin.close();
  await migrate(url('postgres', 'tidemark'), [migrationsFolder]);
  const owner = Database.open({ url: url('postgres', 'tidemark'), poolSize: 1 });
  await owner.query('CREATE ROLE tidemark LOGIN IN ROLE tidemark_app');
  await owner.close();
}
