import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, resolve, sep } from 'node:path';
import { KernelError, type Queryable } from '#libs/database';
import { type Row, rowsAsOf } from '#libs/journal';
import { wiki } from '#libs/resources';

export interface Exported {
  readonly pages: number;
  /** Pages that could not be files, each with the reason. */
  readonly refused: string[];
}

/** Writes every page as of a tid as a file below an empty folder. Stops between pages when the signal is aborted. */
export async function exportPages(
  db: Queryable,
  tid: number,
  folder: string,
  { signal, written }: { signal?: AbortSignal; written?: (pages: number) => void } = {},
): Promise<Exported> {
  const refused: string[] = [];
  let pages = 0;
  let page: { id: string; values: Row }[] = [];
  do {
    page = await rowsAsOf(db, wiki.name, tid, { limit: pageSize(page), ...after(page) });
    for (const { values } of page) {
      const problem = await writePage(folder, values).catch(explain);
      if (problem === undefined) {
        pages++;
        written?.(pages);
      } else refused.push(`${JSON.stringify(values['name'])}: ${problem}`);
    }
  } while (page.length > 0 && signal?.aborted !== true);
  return { pages, refused };
}

const BYTES_AT_ONCE = 8 * 1024 * 1024;

/** So many pages that they take some megabytes, if they are like the last ones. */
function pageSize(last: readonly { values: Row }[]): number {
  if (last.length === 0) return 10;
  const length = last.reduce((sum, { values }) => sum + String(values['text'] ?? values['bytes'] ?? '').length, 0);
  return Math.min(500, Math.max(1, Math.floor(BYTES_AT_ONCE / (length / last.length + 100))));
}

function after(last: readonly { id: string }[]): { after?: string } {
  const id = last.at(-1)?.id;
  return id === undefined ? {} : { after: id };
}

async function writePage(folder: string, values: Row): Promise<undefined> {
  const name = String(values['name']);
  const file = resolve(folder, name);
  if (!file.startsWith(folder + sep)) throw new KernelError('invalid', 'its name leads out of the folder');
  await mkdir(dirname(file), { recursive: true });
  // wx: the folder was empty, so a file that is there would be another page's
  await writeFile(file, contents(values), { flag: 'wx' });
  return undefined;
}

function contents({ text, bytes }: Row): Buffer {
  if (typeof text === 'string') return Buffer.from(text, 'utf8');
  return Buffer.from(String(bytes).replace(/^\\x/, ''), 'hex');
}

/** A page may be called like another page's folder, and a name may be longer than file systems allow. Others stop the export. */
function explain(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (error instanceof KernelError) return message;
  if (['EEXIST', 'EISDIR', 'ENOTDIR'].includes(code))
    return 'another page needs a folder of that name, or is in its way';
  if (code === 'ENAMETOOLONG') return 'its name is longer than a file name may be';
  throw error;
}
