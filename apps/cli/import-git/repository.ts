import { open, stat } from 'node:fs/promises';
import { KernelError } from '#libs/database';
import { ByteSource } from './byte-source.ts';
import { runGit, startGit } from './git.ts';
import { rangeArguments } from './git-log.ts';

/** What is to be imported: the first-parent history that ends at `tip`, in the folder `path` of a repository. */
export interface Source {
  readonly repository: string;
  readonly tip: string;
  readonly root: string;
  readonly path: string;
}

/** Opens a repository. Throws `configuration` when it is none, has no commits or no such revision, or is a shallow clone. */
export async function openRepository(repository: string, rev: string, folder: string): Promise<Source> {
  await assertRepository(repository);
  const tip = await resolve(repository, rev);
  if ((await runGit(repository, ['rev-parse', '--is-shallow-repository'])) === 'true') {
    throw refuse(
      `${repository} is a shallow clone, without its older history: run "git fetch --unshallow" in it first`,
    );
  }
  const root = await runGit(repository, ['rev-list', '--first-parent', '--max-parents=0', tip]);
  return { repository, tip, root, path: normalPath(folder) };
}

/** How many commits are to be read after the last imported one. */
export async function countCommits({ repository, tip, path }: Source, after: string | undefined): Promise<number> {
  return Number(await runGit(repository, ['rev-list', '--count', ...rangeArguments({ tip, after, path })]));
}

/**
 * Says whether the history goes on after the last imported commit. Throws `conflict` when that commit is not in it: the history was
 * rewritten, or it is another branch.
 */
export async function goesOnAfter({ repository, tip }: Source, last: string): Promise<boolean> {
  if (tip === last) return false;
  const known = await runGit(repository, ['rev-parse', '--verify', '--quiet', `${last}^{commit}`]).catch(
    () => undefined,
  );
  if (known === undefined) throw rewritten(last, tip);
  const git = startGit(repository, [
    'rev-list',
    '--reverse',
    '--parents',
    ...rangeArguments({ tip, after: last, path: '' }),
  ]);
  git.stdin.end();
  try {
    const oldest = await new ByteSource(git.stdout).until(NEWLINE);
    if (oldest === undefined) {
      await git.ended;
      return false;
    }
    if (oldest.toString().split(' ')[1] !== last) throw rewritten(last, tip);
    return true;
  } finally {
    git.stop();
  }
}

const NEWLINE = 10;

async function assertRepository(repository: string): Promise<void> {
  const found = await stat(repository).catch(() => undefined);
  if (found === undefined) throw refuse(`${repository} does not exist`);
  if (found.isFile() && (await isBundle(repository))) {
    throw refuse(`${repository} is a git bundle: clone it first, with "git clone ${repository} <folder>"`);
  }
  if (!found.isDirectory()) throw refuse(`${repository} is not a git repository`);
  const inside = await runGit(repository, ['rev-parse', '--show-prefix']).catch((error: unknown) => {
    if (error instanceof KernelError) throw refuse(`${repository} is not a git repository (${error.message})`);
    throw error;
  });
  if (inside !== '') {
    throw refuse(
      `${repository} is a folder inside a git repository: name that one, and the folder by --path ${inside}`,
    );
  }
}

async function isBundle(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(16), 0, 16, 0);
    return /^# v\d git bundle/.test(buffer.toString('latin1', 0, bytesRead));
  } finally {
    await handle.close();
  }
}

async function resolve(repository: string, rev: string): Promise<string> {
  try {
    return await runGit(repository, ['rev-parse', '--verify', '--end-of-options', `${rev}^{commit}`]);
  } catch (error) {
    const empty = rev === 'HEAD' ? 'it has no commits yet' : `it has no revision ${rev}`;
    throw error instanceof KernelError ? refuse(`${repository} cannot be imported: ${empty}`) : error;
  }
}

function normalPath(folder: string): string {
  const segments = folder.split('/').filter((segment) => segment !== '' && segment !== '.');
  if (segments.includes('..')) throw refuse(`--path ${folder} leads out of the repository`);
  return segments.join('/');
}

function refuse(message: string): KernelError {
  return new KernelError('configuration', message);
}

function rewritten(last: string, tip: string): KernelError {
  return new KernelError(
    'conflict',
    `the history was imported up to commit ${last}, which is not in the first-parent history of ${tip}: ` +
      'it was rewritten, or this is another branch. Nothing was imported.',
  );
}
