import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { waitUntil } from './wait-until.ts';

/** A PgBouncer of a test's own. */
export interface PgBouncer {
  /** The database `name` of its configuration. */
  url(name: string): string;
  kill9(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Why there is none to test with; undefined when there is one. */
export function missingPgBouncer(): string | undefined {
  const { status } = spawnSync('pgbouncer', ['--version']);
  return status === 0 ? undefined : 'pgbouncer is not installed (apt-get install pgbouncer)';
}

/** Starts one on a free port. The databases are lines of its section [databases]; the settings are added to those that a test needs. */
export async function startPgBouncer(databases: Record<string, string>, settings: string): Promise<PgBouncer> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-pgbouncer-'));
  chmodSync(folder, 0o755);
  const port = await freePort();
  const file = join(folder, 'pgbouncer.ini');
  const lines = Object.entries(databases).map(([name, line]) => `${name} = ${line}`);
  const own = `listen_addr = 127.0.0.1\nlisten_port = ${port}\nunix_socket_dir =\nauth_type = any`;
  writeFileSync(file, `[databases]\n${lines.join('\n')}\n[pgbouncer]\n${settings}\n${own}\n`);
  const account = accountFor(Object.values(databases));
  let child: ChildProcess;
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  };
  const start = async () => {
    child = spawn('pgbouncer', ['-q', file], { ...account, stdio: ['ignore', 'ignore', 'pipe'], cwd: folder });
    let complaints = '';
    child.stderr?.on('data', (text) => {
      complaints += text;
    });
    await waitUntil(async () => {
      if (child.exitCode !== null) throw new Error(`pgbouncer does not start: ${complaints}`);
      return listens(port);
    }, 'pgbouncer listens');
  };
  await start();
  return {
    url: (name) => `postgres://anybody@127.0.0.1:${port}/${name}`,
    kill9: () => end('SIGKILL'),
    start,
    async stop() {
      await end('SIGINT');
      rmSync(folder, { recursive: true });
    },
  };
}

/** It refuses to run as root, and the socket of the embedded server is its owner's alone. */
function accountFor(lines: readonly string[]): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const socketFolder = lines.map((line) => /host='(\/[^']*)'/.exec(line)?.[1]).find((folder) => folder !== undefined);
  if (socketFolder === undefined) return { uid: 65_534, gid: 65_534 };
  const { uid, gid } = statSync(join(socketFolder, '.s.PGSQL.5432'));
  return { uid, gid };
}

async function listens(port: number): Promise<boolean> {
  const socket = createConnection(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** The line of [databases] that leads to a PostgreSQL URL. */
export function databaseLine(text: string): string {
  const { hostname, port, searchParams, username, password, pathname } = new URL(text);
  const host = searchParams.get('host') ?? decodeURIComponent(hostname);
  const words: Record<string, string> = {
    host,
    port: port || '5432',
    dbname: pathname.slice(1),
    user: username,
    password,
  };
  return Object.entries(words)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name}='${decodeURIComponent(value).replaceAll("'", "''")}'`)
    .join(' ');
}
