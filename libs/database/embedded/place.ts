import { createHash } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { KernelError } from '../errors.ts';
import { type Account, canEnter } from './binaries.ts';

/** A socket's path may have 107 bytes; PostgreSQL's own name takes some of them. */
const SOCKET_PATH_LIMIT = 107;

/**
 * The folder that holds cluster and sockets: the data folder's `postgres`, or where that cannot serve (the account that PostgreSQL needs under
 * root cannot enter it, or a socket's path would be too long) another one, which the file `location` names. Only its owner may enter:
 * whoever can, is the database's superuser.
 */
export function embeddedPlace(dataDir: string, account: Account): string {
  const folder = resolve(dataDir);
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    const place = chosenPlace(folder, account);
    mkdirSync(place, { recursive: true });
    if (account.uid !== undefined && account.gid !== undefined) chownSync(place, account.uid, account.gid);
    chmodSync(place, 0o700);
    return place;
  } catch (cause) {
    if (cause instanceof KernelError) throw cause;
    throw new KernelError(
      'configuration',
      `the data folder ${folder} cannot be used: ${(cause as Error).message}`,
      { cause },
    );
  }
}

function chosenPlace(folder: string, account: Account): string {
  const location = join(folder, 'location');
  if (existsSync(location)) return readFileSync(location, 'utf8').trim();
  const own = join(folder, 'postgres');
  if (existsSync(own) || (fits(own) && canEnter(account, folder))) return own;
  const state = account.uid === undefined ? join(homedir(), '.local/state/tidemark') : '/var/lib/tidemark';
  const elsewhere = join(state, createHash('sha256').update(folder).digest('hex').slice(0, 12));
  if (!fits(elsewhere)) {
    throw new KernelError(
      'configuration',
      `neither ${own} nor ${elsewhere} is short enough for a socket: set TIDEMARK_DATA_DIR or DATABASE_URL`,
    );
  }
  writeFileSync(location, `${elsewhere}\n`);
  return elsewhere;
}

function fits(place: string): boolean {
  return Buffer.byteLength(join(place, '.s.PGSQL.5432')) <= SOCKET_PATH_LIMIT;
}
