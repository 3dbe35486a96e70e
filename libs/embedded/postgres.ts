import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Binaries } from './binaries.ts';
import type { Account } from './place.ts';
import { EmbeddedError } from './protocol.ts';

/** Where a cluster is, and what runs it. */
export interface Cluster {
  /** Holds `data`, and the socket. */
  readonly place: string;
  readonly binaries: Binaries;
  readonly account: Account;
  /** PostgreSQL's, beyond those of its configuration files. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Takes what PostgreSQL writes to its log. */
  readonly log: (text: string) => void;
}

/** A running PostgreSQL. It is stopped when this process ends, however it ends. */
export interface Postgres {
  /** Resolves when it is gone, for whatever reason. */
  readonly gone: Promise<void>;
  /** Ends all sessions and stops it cleanly. */
  stop(): Promise<void>;
}

/** Another PostgreSQL runs on the same data. */
export class ClusterTaken extends Error {}

/** Makes the cluster if there is none. Safe when several do it at once: it is made aside and renamed. */
export async function createCluster(cluster: Cluster, options: { sync: boolean } = { sync: true }): Promise<void> {
  const data = join(cluster.place, 'data');
  if (existsSync(data)) return checkMajor(data, cluster.binaries.major);
  const aside = `${data}.${process.pid}`;
  try {
    initdb(cluster, aside, options.sync);
    await rename(aside, data);
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    if (!existsSync(data)) throw error;
  }
}

/** Starts PostgreSQL and waits until it takes connections; after a crash it recovers first. Rejects with ClusterTaken when it runs already. */
export async function startPostgres(cluster: Cluster): Promise<Postgres> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await launch(cluster);
    } catch (error) {
      // sessions of a killed postmaster take a moment to notice
      if (attempt === 300 || !/pre-existing shared memory/.test(String(error))) throw error;
      await delay(100);
    }
  }
}

function checkMajor(data: string, major: string): void {
  const version = join(data, 'PG_VERSION');
  const found = existsSync(version) ? readFileSync(version, 'utf8').trim() : 'an unknown version';
  if (found === major) return;
  const problem = `${data} was made by PostgreSQL ${found} and this program brings ${major}`;
  throw new EmbeddedError(`${problem}: carry it over with pg_dump of ${found}, or set DATABASE_URL`);
}

function initdb(cluster: Cluster, data: string, sync: boolean): void {
  const args = [
    ...['-D', data, '-U', 'postgres', '--auth-local=trust', '--auth-host=scram-sha-256'],
    ...['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
    ...['--no-instructions', '--set=listen_addresses=', ...(sync ? [] : ['--no-sync'])],
  ];
  const run = { ...cluster.account, env: ENVIRONMENT, cwd: cluster.place, encoding: 'utf8' } as const;
  const { status, error, stdout, stderr } = spawnSync(join(cluster.binaries.folder, 'bin/initdb'), args, run);
  if (status === 0) return;
  const why = error?.message ?? reason(stdout + stderr);
  throw new EmbeddedError(`the database could not be made in ${cluster.place}: ${why}`);
}

async function launch(cluster: Cluster): Promise<Postgres> {
  const settings = {
    unix_socket_directories: cluster.place,
    unix_socket_permissions: '0700',
    max_connections: '200',
    ...cluster.settings,
  };
  const program = [
    ...[join(cluster.binaries.folder, 'bin/postgres'), '-D', join(cluster.place, 'data')],
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
  const child = spawn('/bin/sh', ['-c', GUARD, 'postgres', ...program], {
    ...{ ...cluster.account, env: ENVIRONMENT, cwd: '/', detached: true },
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  const guard = child.stdio[3] as NodeJS.WritableStream;
  guard.on('error', () => undefined);
  const gone = new Promise<void>((done) => {
    // whoever killed the shell alone has left PostgreSQL behind
    child.once('exit', () => done(void guard.end()));
  });
  await ready(child, cluster);
  return {
    gone,
    stop() {
      guard.end();
      return gone;
    },
  };
}

function ready(child: ChildProcess, { place, log: write }: Cluster): Promise<void> {
  let log: string | undefined = '';
  return new Promise((done, fail) => {
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      write(text);
      if (log === undefined) return;
      log += text;
      if (!log.includes('ready to accept connections')) return;
      log = undefined;
      done();
    });
    child.once('error', fail);
    child.once('close', () => {
      if (/lock file "postmaster.pid" already exists/.test(log ?? '')) fail(new ClusterTaken(reason(log ?? '')));
      else fail(new EmbeddedError(`PostgreSQL does not start in ${place}: ${reason(log ?? '')}`));
    });
  });
}

/** What a person wants to know of many lines of output. */
function reason(output: string): string {
  const lines = output.trim().split('\n');
  const telling = lines.filter((line) =>
    /error:|FATAL:|PANIC:|HINT:|DETAIL:|LOG: +(unrecognized|invalid|could not)/.test(line),
  );
  return (telling.length > 0 ? telling : lines)
    .slice(-4)
    .map((line) => line.replace(/^.*?((error|FATAL|PANIC|HINT|DETAIL|LOG):)/, '$1').trim())
    .join(' ');
}

/** Descriptor 3 is a pipe from this process: when this process goes, however it goes, `cat` ends and PostgreSQL is stopped. */
const GUARD =
  'trap "" INT TERM HUP; "$@" </dev/null 3<&- & p=$!; (cat >/dev/null; kill -INT $p) <&3 & exec 3<&-; wait $p';

/** Not this process's environment: PGPORT and the like would be obeyed. */
const ENVIRONMENT = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
