import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  chownSync,
  constants,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { KernelError } from '../errors.ts';

/** The account that PostgreSQL runs under: empty for an ordinary user's own. */
export interface Account {
  readonly uid?: number;
  readonly gid?: number;
}

/** The bytes a socket's path may have, less those of `/.s.PGSQL.65535`. */
const LONGEST_PLACE = 107 - 15;

/**
 * The folder that holds the cluster and its sockets: `postgres` in the data folder. Where that cannot serve (the account that PostgreSQL needs
 * under root cannot enter it, or a socket's path would be too long) it is another one, which the file `location` names. Both are made if missing.
 * Nobody else may enter: whoever can, is the database's superuser. KernelError `configuration` when the data folder cannot be used.
 */
export function makePlace(dataDir: string): string {
  const folder = resolve(dataDir);
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return findPlace(folder) ?? choosePlace(folder);
  } catch (cause) {
    if (cause instanceof KernelError) throw cause;
    throw new KernelError('configuration', `the data folder ${folder} cannot be used: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** The place of a data folder that has been used before. KernelError `configuration` when it has been taken away. */
export function findPlace(dataDir: string): string | undefined {
  const folder = resolve(dataDir);
  const own = join(folder, 'postgres');
  const location = join(folder, 'location');
  if (!existsSync(location)) return existsSync(own) ? own : undefined;
  const elsewhere = readFileSync(location, 'utf8').trim();
  if (existsSync(elsewhere)) return elsewhere;
  throw new KernelError(
    'configuration',
    `the database lies in ${elsewhere}, as ${location} says, but that is not there`,
  );
}

/** Who PostgreSQL runs as: it refuses root, so there it is whoever owns the place. */
export function accountOf(place: string): Account {
  if (process.getuid?.() !== 0) return {};
  const { uid, gid } = statSync(place);
  return { uid, gid };
}

function choosePlace(folder: string): string {
  const account = unprivilegedAccount();
  const own = join(folder, 'postgres');
  if (fits(own) && canEnter(account, folder)) {
    makeFolder(own, account);
    // `psql --host .tidemark` reaches it
    rmSync(join(folder, '.s.PGSQL.5432'), { force: true });
    symlinkSync('postgres/.s.PGSQL.5432', join(folder, '.s.PGSQL.5432'));
    return own;
  }
  const state = account.uid === undefined ? join(homedir(), '.local/state/tidemark') : '/var/lib/tidemark';
  const elsewhere = join(state, randomBytes(4).toString('hex'));
  if (!fits(elsewhere)) {
    throw new KernelError(
      'configuration',
      `the path of the data folder ${folder} is too long for a socket, and so is ${elsewhere}: set TIDEMARK_DATA_DIR to a shorter one`,
    );
  }
  return settle(folder, elsewhere, account);
}

/** Writes `location`; when another process was quicker, its choice holds. */
function settle(folder: string, elsewhere: string, account: Account): string {
  makeFolder(elsewhere, account);
  const location = join(folder, 'location');
  const aside = `${location}.${process.pid}`;
  writeFileSync(aside, `${elsewhere}\n`);
  try {
    linkSync(aside, location);
    return elsewhere;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    rmSync(elsewhere, { recursive: true });
    return findPlace(folder) as string;
  } finally {
    rmSync(aside);
  }
}

function makeFolder(place: string, account: Account): void {
  mkdirSync(place, { recursive: true, mode: 0o700 });
  if (account.uid !== undefined && account.gid !== undefined) chownSync(place, account.uid, account.gid);
}

function unprivilegedAccount(): Account {
  if (process.getuid?.() !== 0) return {};
  const rows = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const row = rows.find(([name]) => name === 'postgres') ?? rows.find(([name]) => name === 'nobody');
  if (row) return { uid: Number(row[2]), gid: Number(row[3]) };
  throw new KernelError(
    'configuration',
    'PostgreSQL does not run as root, and there is no account "postgres" or "nobody" to run it under',
  );
}

function canEnter(account: Account, folder: string): boolean {
  if (account.uid === undefined) return true;
  return spawnSync('/bin/sh', ['-c', 'cd "$0"', folder], { ...account, cwd: '/' }).status === 0;
}

function fits(place: string): boolean {
  return Buffer.byteLength(place) <= LONGEST_PLACE;
}
