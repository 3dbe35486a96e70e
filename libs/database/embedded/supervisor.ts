import { once } from 'node:events';
import { rmSync, writeSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { nativeFolder, unprivilegedAccount } from './binaries.ts';
import { type Cluster, ClusterTaken, createCluster, type Postgres, startPostgres } from './postgres.ts';

/**
 * The process that runs the embedded PostgreSQL for all who use it. Each user keeps a connection to its socket open; when the last one has gone,
 * also by kill -9, it stops PostgreSQL and ends. It says on descriptor 3 how its start went. Started by join.ts.
 *
 * PostgreSQL's own lock on its data decides which of several supervisors started at once stays; only that one opens the socket.
 */
const LINGER = 3_000;

const place = process.argv[2] as string;
const users = new Set<Socket>();
let lastLeft: NodeJS.Timeout | undefined;
let ending = false;

async function main(): Promise<void> {
  const account = unprivilegedAccount();
  const cluster: Cluster = {
    place,
    account,
    native: nativeFolder(account, place),
    log: (text) => process.stderr.write(text),
  };
  await createCluster(cluster, { sync: true });
  let postgres = await startPostgres(cluster);
  const server = await listen();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => end());
  const end = async () => {
    if (ending) return;
    ending = true;
    rmSync(socketPath(place), { force: true });
    server.close();
    await postgres.stop();
    for (const user of users) user.end();
    process.exit(0);
  };
  server.on('connection', (user: Socket) => serve(user, end));
  awaitUsers(end);
  report({ ready: true });
  postgres = await keepRunning(cluster, postgres, (restarted) => {
    postgres = restarted;
  });
}

/** A PostgreSQL that was killed is started again; its users see their connections break, and then work again. */
async function keepRunning(
  cluster: Cluster,
  first: Postgres,
  restarted: (postgres: Postgres) => void,
): Promise<Postgres> {
  let postgres = first;
  for (;;) {
    await postgres.gone;
    if (ending) return postgres;
    postgres = await startPostgres(cluster);
    restarted(postgres);
  }
}

async function listen(): Promise<Server> {
  rmSync(socketPath(place), { force: true });
  const server = createServer();
  server.listen(socketPath(place));
  await once(server, 'listening');
  return server;
}

function serve(user: Socket, end: () => Promise<void>): void {
  users.add(user);
  clearTimeout(lastLeft);
  user.on('error', () => undefined);
  user.on('close', () => {
    users.delete(user);
    awaitUsers(end);
  });
  createInterface({ input: user }).on('line', (line) => {
    if (line === 'stop' && users.size > 1) user.end(`in use by ${users.size - 1}\n`);
    else if (line === 'stop' || line === 'stop force') void end();
  });
  user.write('ready\n');
}

function awaitUsers(end: () => Promise<void>): void {
  clearTimeout(lastLeft);
  if (users.size === 0) lastLeft = setTimeout(() => void end(), LINGER);
}

function report(message: Record<string, unknown>): void {
  try {
    writeSync(3, `${JSON.stringify(message)}\n`);
  } catch {
    // whoever started this process has gone: nobody to tell
  }
}

function socketPath(folder: string): string {
  return join(folder, 'supervisor.sock');
}

main().catch((error: Error) => {
  report(error instanceof ClusterTaken ? { taken: true } : { error: error.message });
  process.exitCode = 1;
  process.exit();
});
