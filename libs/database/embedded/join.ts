import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { Database } from '../database.ts';
import { KernelError } from '../errors.ts';
import { unprivilegedAccount } from './binaries.ts';
import { embeddedPlace } from './place.ts';

/** An embedded database that this process uses. It stays up while any process does, and stops by itself afterwards. */
export interface EmbeddedDatabase {
  readonly dataDir: string;
  /** Login role tidemark, a member of tidemark_app: the program. */
  readonly url: string;
  /** The superuser: migrations and operators. */
  readonly ownerUrl: string;
  /** Whether this call has created it. */
  readonly created: boolean;
  /** Called each time the supervisor was lost and has been replaced. */
  onLost(listener: () => void): void;
  release(): Promise<void>;
}

const START_TIMEOUT = 60_000;

/** Starts the embedded PostgreSQL of a data folder, or joins the one that runs. KernelError `configuration` when the folder cannot serve. */
export async function joinEmbedded(dataDir: string): Promise<EmbeddedDatabase> {
  const place = embeddedPlace(dataDir, unprivilegedAccount());
  const listeners: (() => void)[] = [];
  let released = false;
  const hold = async (): Promise<Socket> => {
    const socket = await joinSupervisor(place);
    socket.once('close', () => {
      if (!released) void rejoin();
    });
    return socket;
  };
  const rejoin = async () => {
    for (;;) {
      try {
        socket = await hold();
        for (const listener of listeners) listener();
        return;
      } catch {
        // its users see "unavailable" meanwhile; the reason stands in postgres.log
        await delay(1_000, undefined, { ref: false });
        if (released) return;
      }
    }
  };
  let socket = await hold();
  const ownerUrl = urlOf(place, 'postgres', 'tidemark');
  const created = await ensureDatabase(place);
  return {
    ...{ dataDir, url: urlOf(place, 'tidemark', 'tidemark'), ownerUrl, created },
    onLost: (listener) => listeners.push(listener),
    async release() {
      released = true;
      socket.destroy();
    },
  };
}

/** Stops the embedded PostgreSQL of a data folder. KernelError `conflict` while others use it, unless forced. */
export async function stopEmbedded(
  dataDir: string,
  options: { force?: boolean } = {},
): Promise<'stopped' | 'not running'> {
  if (!existsSync(dataDir)) return 'not running';
  const socket = await dial(embeddedPlace(dataDir, unprivilegedAccount()));
  if (!socket) return 'not running';
  socket.ref();
  socket.write(options.force ? 'stop force\n' : 'stop\n');
  let answer = '';
  for await (const line of createInterface({ input: socket })) answer = line;
  if (answer.startsWith('in use'))
    throw new KernelError(
      'conflict',
      `the database is ${answer} other process(es): stop them first, or use --force`,
    );
  return 'stopped';
}

async function joinSupervisor(place: string): Promise<Socket> {
  const end = performance.now() + START_TIMEOUT;
  for (;;) {
    const socket = await dial(place);
    if (socket) return socket;
    const outcome = await startSupervisor(place);
    if (outcome.error !== undefined) throw new KernelError('configuration', outcome.error);
    if (performance.now() > end)
      throw new KernelError(
        'unavailable',
        `the embedded database in ${place} did not come up: see postgres.log there`,
      );
    // another one is starting or stopping
    if (outcome.taken) await delay(50);
  }
}

/** A connection to a supervisor that is ready; undefined when none listens. */
function dial(place: string): Promise<Socket | undefined> {
  return new Promise((done) => {
    const socket = connect(join(place, 'supervisor.sock'));
    socket.once('error', () => done(undefined));
    socket.once('close', () => done(undefined));
    socket.once('data', () => done(socket.unref()));
  });
}

/** Starts a supervisor that outlives this process, and waits for what it says of its start. */
async function startSupervisor(place: string): Promise<{ ready?: boolean; taken?: boolean; error?: string }> {
  const log = openSync(join(place, 'postgres.log'), 'a', 0o600);
  const child = spawn(process.execPath, [join(import.meta.dirname, 'supervisor.js'), place], {
    ...{ cwd: '/', detached: true, stdio: ['ignore', log, log, 'pipe'] },
  });
  closeSync(log);
  const pipe = child.stdio[3] as Socket;
  let answer = '';
  for await (const text of pipe.setEncoding('utf8')) {
    answer += text;
    if (answer.includes('\n')) break;
  }
  child.unref();
  pipe.destroy();
  return answer === ''
    ? { error: `the database's supervisor ended at once: see ${join(place, 'postgres.log')}` }
    : JSON.parse(answer);
}

function urlOf(place: string, user: string, database: string): string {
  return `postgres://${user}@/${database}?host=${encodeURIComponent(place)}`;
}

/** Makes database and login role, once; safe when several do it. */
async function ensureDatabase(place: string): Promise<boolean> {
  const database = Database.open({ url: urlOf(place, 'postgres', 'postgres'), poolSize: 1 });
  try {
    const { rows } = await database.query(`SELECT FROM pg_database WHERE datname = 'tidemark'`);
    if (rows.length > 0) return false;
    for (const role of [`tidemark_app NOLOGIN`, `tidemark LOGIN IN ROLE tidemark_app`]) {
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
