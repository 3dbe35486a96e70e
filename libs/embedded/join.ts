import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Database, KernelError, translate } from '#libs/database';
import { findPlace, makePlace } from './place.ts';
import { EmbeddedError, socketPath } from './protocol.ts';
import { startSupervisor } from './start.ts';

/** An embedded database that this process uses. It stays up while any process does, and stops by itself afterwards. */
export interface EmbeddedDatabase {
  readonly dataDir: string;
  /** Holds the cluster (`data`), its socket and its log. */
  readonly clusterDir: string;
  /** Login role tidemark, a member of tidemark_app: the program. */
  readonly url: string;
  /** The superuser: migrations and operators. */
  readonly ownerUrl: string;
  /** Whether this call has created it. */
  readonly created: boolean;
  /** Called each time the supervisor was lost: this process joins again, or starts another, by itself. Not when somebody stopped it on purpose. */
  onLost(listener: () => void): void;
  release(): Promise<void>;
}

const START_TIMEOUT = 60_000;

/** Starts the embedded PostgreSQL of a data folder, or joins the one that runs. KernelError `configuration` when the folder cannot serve. */
export async function joinEmbedded(dataDir: string): Promise<EmbeddedDatabase> {
  const place = reported(() => makePlace(dataDir));
  const membership = await Membership.begin(place);
  try {
    const created = await ensureDatabase(place);
    return {
      ...{ dataDir, clusterDir: place, created },
      ...{ url: urlOf(place, 'tidemark', 'tidemark'), ownerUrl: urlOf(place, 'postgres', 'tidemark') },
      onLost: (listener) => membership.listeners.push(listener),
      release: async () => membership.end(),
    };
  } catch (error) {
    membership.end();
    throw translate(error);
  }
}

/** Stops the embedded PostgreSQL of a data folder, and waits until it has. KernelError `conflict` while others use it, unless forced. */
export async function stopEmbedded(
  dataDir: string,
  options: { force?: boolean } = {},
): Promise<'stopped' | 'not running'> {
  const place = reported(() => findPlace(dataDir));
  const socket = place === undefined ? undefined : await dial(place);
  if (!socket) return 'not running';
  socket.ref();
  socket.write(options.force ? 'stop force\n' : 'stop\n');
  let answer = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    answer += text;
  });
  await once(socket, 'close');
  const [, used] = /^used (.*)$/m.exec(answer) ?? [];
  if (used !== undefined) {
    const pids = used.split(' ');
    const users = `${pids.length === 1 ? 'process' : 'processes'} ${pids.join(', ')}`;
    throw new KernelError('conflict', `the database is in use by ${users}: stop that first, or use --force`);
  }
  return 'stopped';
}

/** An EmbeddedError is a matter of the set-up for whoever calls. */
function reported<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof EmbeddedError ? new KernelError('configuration', error.message, { cause: error }) : error;
  }
}

/** This process as a user of a supervisor, and of its successors. */
class Membership {
  readonly listeners: (() => void)[] = [];
  readonly #place: string;
  #socket: Socket | undefined;
  #over = false;

  private constructor(place: string) {
    this.#place = place;
  }

  static async begin(place: string): Promise<Membership> {
    const membership = new Membership(place);
    await membership.#join();
    return membership;
  }

  end(): void {
    this.#over = true;
    this.#socket?.destroy();
  }

  async #join(): Promise<void> {
    const socket = await joinSupervisor(this.#place);
    if (this.#over) socket.destroy();
    this.#socket = socket;
    socket.write(`user ${process.pid}\n`);
    socket.on('data', (text) => {
      if (text.includes('stopped')) this.#over = true;
    });
    socket.once('close', () => void this.#rejoin());
  }

  async #rejoin(): Promise<void> {
    if (this.#over) return;
    for (const listener of this.listeners) listener();
    while (!this.#over) {
      try {
        await this.#join();
        return;
      } catch {
        // statements fail as "unavailable" meanwhile; the reason stands in postgres.log
        await delay(1_000, undefined, { ref: false });
      }
    }
  }
}

async function joinSupervisor(place: string): Promise<Socket> {
  const end = performance.now() + START_TIMEOUT;
  while (performance.now() < end) {
    const socket = await dial(place);
    if (socket) return socket;
    const outcome = await startSupervisor(place);
    if (outcome?.error !== undefined) throw new KernelError('configuration', outcome.error);
    // another process starts it
    if (!outcome?.ready) await delay(25);
  }
  const log = join(place, 'postgres.log');
  throw new KernelError('unavailable', `the embedded database did not come up in time: see ${log}`);
}

/** A connection to a supervisor whose PostgreSQL is ready; undefined when there is none. It does not keep this process alive. */
function dial(place: string): Promise<Socket | undefined> {
  return new Promise((done) => {
    const socket = connect(socketPath(place));
    socket.on('error', () => undefined);
    socket.once('close', () => done(undefined));
    socket.once('data', () => done(socket.unref()));
  });
}

/** The host in front only makes it a URL that every parser takes: the folder of the socket counts. */
function urlOf(place: string, user: string, database: string): string {
  // an operator may have set another port in postgresql.conf, and with it the socket's name
  const port = readFileSync(join(place, 'data/postmaster.pid'), 'utf8').split('\n')[3];
  return `postgres://${user}@localhost:${port}/${database}?host=${encodeURIComponent(place)}`;
}

/** Makes database and login role, once; safe when several do it. */
async function ensureDatabase(place: string): Promise<boolean> {
  const database = Database.open({ url: urlOf(place, 'postgres', 'postgres'), poolSize: 1 });
  try {
    const { rows } = await database.query(`SELECT FROM pg_database WHERE datname = 'tidemark'`);
    if (rows.length > 0) return false;
    for (const role of ['tidemark_app NOLOGIN', 'tidemark LOGIN IN ROLE tidemark_app']) {
      await database.query(
        `DO $$ BEGIN CREATE ROLE ${role}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`,
      );
    }
    await database.query('CREATE DATABASE tidemark');
    return true;
  } catch (error) {
    if (['42P04', '23505'].includes(String((error as { code?: string }).code))) return false;
    throw error;
  } finally {
    await database.close();
  }
}
