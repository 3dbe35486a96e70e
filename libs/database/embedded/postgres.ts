import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { KernelError } from '../errors.ts';
import type { Account } from './binaries.ts';

/** The major version of the packaged binaries. */
const MAJOR = '18';

export interface Cluster {
  /** Holds `data`, and the socket. */
  readonly place: string;
  readonly native: string;
  readonly account: Account;
  readonly settings?: Readonly<Record<string, string>>;
  /** Where the server's own log goes. */
  readonly log?: (text: string) => void;
}

/** A running PostgreSQL. It is stopped when this process ends, however it ends. */
export interface Postgres {
  /** Resolves when it is gone, for whatever reason. */
  readonly gone: Promise<void>;
  /** Ends sessions and stops it cleanly. */
  stop(): Promise<void>;
}

/** Another PostgreSQL runs on the same data. */
export class ClusterTaken extends Error {}

/** Makes the cluster if there is none. Safe when several do it at once: it is made aside and renamed. */
export async function createCluster(cluster: Cluster, options: { sync: boolean }): Promise<void> {
  const data = join(cluster.place, 'data');
  const version = join(data, 'PG_VERSION');
  if (existsSync(version)) {
    const found = readFileSync(version, 'utf8').trim();
    if (found === MAJOR) return;
    throw new KernelError(
      'configuration',
      `${data} belongs to PostgreSQL ${found}, this program brings ${MAJOR}: dump it with the old version and restore it`,
    );
  }
  const aside = `${data}.${process.pid}`;
  const args = ['-D', aside, '-U', 'postgres', '--auth=trust', '--no-instructions', '--encoding=UTF8'];
  args.push(
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    ...(options.sync ? [] : ['--no-sync']),
  );
  try {
    await initdb(cluster, args);
    await rename(aside, data);
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    if (!existsSync(version)) throw error;
  }
}

function initdb(cluster: Cluster, args: string[]): Promise<void> {
  const child = spawn(join(cluster.native, 'bin/initdb'), args, {
    ...cluster.account,
    env: ENVIRONMENT,
    cwd: cluster.place,
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (code) => {
      const last = said.trim().split('\n').slice(-3).join(' ');
      if (code === 0) done();
      else
        fail(
          new KernelError('configuration', `the database could not be created in ${cluster.place}: ${last}`),
        );
    });
  });
}

/** Starts PostgreSQL and waits until it takes connections; after a crash it recovers first. Rejects with ClusterTaken when it runs already. */
export async function startPostgres(cluster: Cluster): Promise<Postgres> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await launch(cluster);
    } catch (error) {
      // sessions of a killed postmaster take a moment to notice
      if (attempt === 100 || !/pre-existing shared memory/.test(String(error))) throw error;
      await new Promise((done) => setTimeout(done, 100));
    }
  }
}

async function launch(cluster: Cluster): Promise<Postgres> {
  const settings = {
    listen_addresses: '',
    unix_socket_directories: cluster.place,
    max_connections: '200',
    ...cluster.settings,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = spawn(
    '/bin/sh',
    [
      '-c',
      GUARD,
      'postgres',
      join(cluster.native, 'bin/postgres'),
      '-D',
      join(cluster.place, 'data'),
      ...args,
    ],
    {
      ...cluster.account,
      ...{ env: ENVIRONMENT, cwd: '/', detached: true, stdio: ['ignore', 'ignore', 'pipe', 'pipe'] },
    },
  );
  const guard = child.stdio[3] as NodeJS.WritableStream;
  guard.on('error', () => undefined);
  const gone = new Promise<void>((done) =>
    child.once('exit', () => {
      guard.end();
      done();
    }),
  );
  await ready(child, cluster.log);
  return {
    gone,
    async stop() {
      guard.end();
      await gone;
    },
  };
}

function ready(child: ChildProcess, log: Cluster['log']): Promise<void> {
  let said = '';
  return new Promise((done, fail) => {
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (said.length < 100_000) said += text;
      log?.(text);
      if (said.includes('ready to accept connections')) done();
    });
    child.once('error', fail);
    child.once('close', () => {
      if (/lock file "[^"]+" already exists/.test(said)) fail(new ClusterTaken());
      else
        fail(
          new KernelError(
            'configuration',
            `PostgreSQL did not start: ${said.trim().split('\n').slice(-5).join(' ')}`,
          ),
        );
    });
  });
}

/** Descriptor 3 is a pipe from this process: when this process goes, however it goes, `cat` ends and PostgreSQL is stopped. */
const GUARD =
  'trap "" INT TERM HUP; "$@" </dev/null 3<&- & p=$!; (cat >/dev/null; kill -INT $p) <&3 & exec 3<&-; wait $p';
const ENVIRONMENT = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
