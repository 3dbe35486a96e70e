import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { EmbeddedError } from './protocol.ts';

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
 * Nobody else may enter: whoever can, is the database's superuser. EmbeddedError when the data folder cannot be used.
 */
export function makePlace(dataDir: string): string {
  const folder = resolve(dataDir);
  try {
    fs.mkdirSync(folder, { recursive: true });
    fs.accessSync(folder, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
    return findPlace(folder) ?? choosePlace(folder);
  } catch (cause) {
    if (cause instanceof EmbeddedError) throw cause;
    const problem = `the data folder ${folder} cannot be used: ${(cause as Error).message}`;
    throw new EmbeddedError(problem, { cause });
  }
}

/** The place of a data folder that has been used before. EmbeddedError when it has been taken away. */
export function findPlace(dataDir: string): string | undefined {
  const folder = resolve(dataDir);
  const own = join(folder, 'postgres');
  const location = join(folder, 'location');
  if (!fs.existsSync(location)) return fs.existsSync(own) ? own : undefined;
  const elsewhere = fs.readFileSync(location, 'utf8').trim();
  if (fs.existsSync(elsewhere)) return elsewhere;
  throw new EmbeddedError(`the database lies in ${elsewhere}, as ${location} says, but that is not there`);
}

/** Who PostgreSQL runs as: it refuses root, so there it is whoever owns the place. */
export function accountOf(place: string): Account {
  if (process.getuid?.() !== 0) return {};
  const { uid, gid } = fs.statSync(place);
  return { uid, gid };
}

function choosePlace(folder: string): string {
  const account = unprivilegedAccount();
  const own = join(folder, 'postgres');
  if (fits(own) && canEnter(account, folder)) {
    makeFolder(own, account);
    // `psql --host .tidemark` reaches it
    const link = join(folder, '.s.PGSQL.5432');
    fs.rmSync(link, { force: true });
    fs.symlinkSync('postgres/.s.PGSQL.5432', link);
    return own;
  }
  // the same for all processes that start at this moment, and another one once the data folder was removed
  const { ino, birthtimeMs } = fs.statSync(folder);
  const name = createHash('sha256').update(`${folder} ${ino} ${birthtimeMs}`).digest('hex').slice(0, 12);
  const state = account.uid === undefined ? join(homedir(), '.local/state/tidemark') : '/var/lib/tidemark';
  const elsewhere = join(state, name);
  if (!fits(elsewhere)) {
    const problem = `the path of the data folder ${folder} is too long for a socket, and so is ${elsewhere}`;
    throw new EmbeddedError(`${problem}: set TIDEMARK_DATA_DIR to a shorter one`);
  }
  makeEnterable(state);
  makeFolder(elsewhere, account);
  const location = join(folder, 'location');
  fs.writeFileSync(`${location}.${process.pid}`, `${elsewhere}\n`);
  fs.renameSync(`${location}.${process.pid}`, location);
  return elsewhere;
}

// mkdir gives its mode to every folder that it makes on the way: a closed one would shut PostgreSQL's account out.
function makeEnterable(folder: string): void {
  fs.mkdirSync(folder, { recursive: true, mode: 0o755 });
  const { mode, uid } = fs.statSync(folder);
  if (uid === process.getuid?.() && (mode & 0o111) !== 0o111) fs.chmodSync(folder, mode | 0o111);
}

function makeFolder(place: string, account: Account): void {
  fs.mkdirSync(place, { recursive: true, mode: 0o700 });
  if (account.uid !== undefined && account.gid !== undefined) fs.chownSync(place, account.uid, account.gid);
}

function unprivilegedAccount(): Account {
  if (process.getuid?.() !== 0) return {};
  const accounts = fs.readFileSync('/etc/passwd', 'utf8');
  const [line] = /^postgres:.*$/m.exec(accounts) ?? /^nobody:.*$/m.exec(accounts) ?? [];
  const [, , uid, gid] = line?.split(':') ?? [];
  if (line !== undefined) return { uid: Number(uid), gid: Number(gid) };
  const problem = 'PostgreSQL does not run as root, and there is no account "postgres" or "nobody" to run it under';
  throw new EmbeddedError(problem);
}

function canEnter(account: Account, folder: string): boolean {
  if (account.uid === undefined) return true;
  return spawnSync('/bin/sh', ['-c', 'cd "$0"', folder], { ...account, cwd: '/' }).status === 0;
}

function fits(place: string): boolean {
  return Buffer.byteLength(place) <= LONGEST_PLACE;
}
