import { once } from 'node:events';
import { readdirSync, rmSync, writeSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findBinaries } from './binaries.ts';
import { accountOf } from './place.ts';
import { type Cluster, ClusterTaken, createCluster, type Postgres, startPostgres } from './postgres.ts';
import { type Outcome, socketPath } from './protocol.ts';

/** How long PostgreSQL stays when nobody uses it. */
const LINGER = 3_000;
/** How long to wait for a PostgreSQL that is just stopping on the same data. */
const PATIENCE = 30_000;

/**
 * The process that runs the embedded PostgreSQL for all who use it; join.ts starts it. Each user keeps a connection to its socket open; when
 * the last one has gone, also by kill -9, it stops PostgreSQL and ends.
 *
 * PostgreSQL's own lock on its data decides which of several supervisors started at once stays; only that one opens the socket.
 */
class Supervisor {
  readonly #cluster: Cluster;
  readonly #users = new Map<Socket, string>();
  #postgres: Promise<Postgres>;
  #server: Server | undefined;
  #lastLeft: NodeJS.Timeout | undefined;
  #ending = false;

  private constructor(cluster: Cluster, postgres: Postgres) {
    this.#cluster = cluster;
    this.#postgres = Promise.resolve(postgres);
  }

  /** Starts PostgreSQL, and then listens for users. Rejects with ClusterTaken when another supervisor runs it. */
  static async start(cluster: Cluster): Promise<Supervisor> {
    await createCluster(cluster);
    const supervisor = new Supervisor(cluster, await startWhenFree(cluster, () => isServed(cluster.place)));
    if (await isServed(cluster.place)) throw new ClusterTaken();
    // what starts that were interrupted have left
    const left = readdirSync(cluster.place).filter((name) => /^data\.\d+$/.test(name));
    for (const name of left) rmSync(join(cluster.place, name), { recursive: true, force: true });
    await supervisor.#listen();
    void supervisor.#keepRunning();
    return supervisor;
  }

  /** Stops PostgreSQL and ends this process. */
  async end(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    // also removes the socket; while PostgreSQL runs, nobody else has made a new one
    this.#server?.close();
    await (await this.#postgres.catch(() => undefined))?.stop();
    process.exit(0);
  }

  async #listen(): Promise<void> {
    const path = socketPath(this.#cluster.place);
    rmSync(path, { force: true });
    this.#server = createServer((user) => void this.#serve(user));
    process.umask(0o077);
    this.#server.listen(path);
    await once(this.#server, 'listening');
    this.#awaitUsers();
  }

  /** A PostgreSQL that was killed is started again: its users see their connections break, and then work again. */
  async #keepRunning(): Promise<void> {
    while (!this.#ending) {
      await (await this.#postgres).gone;
      if (this.#ending) return;
      process.stderr.write('PostgreSQL is gone: starting it again\n');
      this.#postgres = startWhenFree(this.#cluster, async () => false);
      // its users come back, start another supervisor, and are told why it fails
      await this.#postgres.catch(() => this.end());
    }
  }

  async #serve(user: Socket): Promise<void> {
    this.#users.set(user, 'unknown');
    clearTimeout(this.#lastLeft);
    user.on('error', () => undefined);
    user.on('close', () => {
      this.#users.delete(user);
      this.#awaitUsers();
    });
    user.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.split('\n')) this.#obey(user, line);
    });
    await this.#postgres.then(() => user.write('ready\n')).catch(() => user.destroy());
  }

  #obey(user: Socket, line: string): void {
    const [word, argument = ''] = line.split(' ');
    if (word === 'user') this.#users.set(user, argument);
    if (word !== 'stop') return;
    this.#users.delete(user);
    if (this.#users.size > 0 && argument !== 'force') {
      user.end(`used ${[...this.#users.values()].join(' ')}\n`);
      return;
    }
    // they are not to start it again
    for (const each of this.#users.keys()) each.write('stopped\n');
    void this.end();
  }

  #awaitUsers(): void {
    clearTimeout(this.#lastLeft);
    if (this.#users.size === 0) this.#lastLeft = setTimeout(() => void this.end(), LINGER);
  }
}

/** Waits for a PostgreSQL that is stopping, as it does when its supervisor was killed; gives way to one that has a supervisor. */
async function startWhenFree(cluster: Cluster, isTaken: () => Promise<boolean>): Promise<Postgres> {
  for (const end = performance.now() + PATIENCE; ; ) {
    try {
      return await startPostgres(cluster);
    } catch (error) {
      if (!(error instanceof ClusterTaken) || (await isTaken())) throw error;
      if (performance.now() > end) throw new Error(`another PostgreSQL runs on ${cluster.place}: ${error.message}`);
      await delay(50);
    }
  }
}

function isServed(place: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(socketPath(place));
    socket.once('connect', () => {
      socket.destroy();
      done(true);
    });
    socket.once('error', () => done(false));
  });
}

/** Tells the process that has started this one. */
function report(outcome: Outcome): void {
  try {
    writeSync(3, `${JSON.stringify(outcome)}\n`);
  } catch {
    // it has gone, and there is nobody to tell
  }
}

const place = process.argv[2] as string;
try {
  const account = accountOf(place);
  const supervisor = await Supervisor.start({
    ...{ place, account, binaries: findBinaries(account, place) },
    log: (text) => process.stderr.write(text),
  });
  process.on('SIGHUP', () => undefined);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void supervisor.end());
  report({ ready: true });
} catch (error) {
  report(error instanceof ClusterTaken ? { taken: true } : { error: (error as Error).message });
  process.exit(1);
}
