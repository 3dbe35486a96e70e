import { mkdir, readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { KernelError } from '#libs/database';
import { frontier, resolveAsOf } from '#libs/journal';
import { exportPages } from '../export-pages.ts';
import { type ReaderOptions, withReader } from '../open.ts';
import { print, printJson, say } from '../output.ts';
import type { Context } from '../program.ts';
import { Progress } from '../progress.ts';

interface ExportOptions extends ReaderOptions {
  dir: string;
  asOf?: string;
}

/** `tidemark export wiki`: every page as a file, byte for byte, as of a tid or time. */
export async function exportWiki({ interrupted }: Context, options: ExportOptions): Promise<void> {
  await withReader(options, async ({ db }) => {
    const tid = options.asOf === undefined ? (await frontier(db)).safe : await resolveAsOf(db, options.asOf);
    const folder = await emptyFolder(options.dir);
    const progress = new Progress(process.stderr, 'pages');
    const { pages, refused } = await exportPages(db, tid, folder, {
      signal: interrupted,
      written: (count) => progress.update(count),
    });
    progress.end();
    for (const line of refused) say(line);
    if (refused.length > 0) throw new KernelError('conflict', `${refused.length} pages could not be written as files`);
    if (interrupted.aborted) return;
    await (options.json
      ? printJson({ pages, tid, dir: folder })
      : print(`${pages} pages as of tid ${tid} are in ${folder}`));
  });
}

async function emptyFolder(dir: string): Promise<string> {
  const folder = resolve(dir);
  try {
    await mkdir(folder, { recursive: true });
    if ((await readdir(folder)).length > 0) {
      throw new KernelError('conflict', `${folder} is not empty: name a new folder, or empty this one`);
    }
    return folder;
  } catch (error) {
    if (error instanceof KernelError) throw error;
    throw new KernelError('configuration', `${folder} cannot be used: ${(error as Error).message}`);
  }
}
