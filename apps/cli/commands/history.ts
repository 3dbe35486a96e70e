import { KernelError } from '#libs/database';
import { withCauses } from '#libs/effects';
import { changesOf, findId } from '#libs/journal';
import { changeLine } from '../change-line.ts';
import { type ReaderOptions, withReader } from '../open.ts';
import { print, printJson } from '../output.ts';
import type { Context } from '../program.ts';

/** A page of texts may be megabytes: so few are held at once. */
const PAGE = 20;

/** `tidemark history <resource> <id>`: the changes of one row, newest first, each with the chain of what has caused it. */
export async function history(
  { interrupted }: Context,
  name: string,
  text: string,
  options: ReaderOptions & { limit: number },
): Promise<void> {
  await withReader(options, async ({ db, resource }) => {
    const kind = resource(name);
    const id = await findId(db, kind, text);
    if (id === undefined) throw new KernelError('not_found', `there never was a ${name} "${text}"`);
    let before: number | undefined;
    for (let left = options.limit; left > 0 && !interrupted.aborted; ) {
      const limit = Math.min(left, PAGE);
      const found = await changesOf(db, kind.name, id, before === undefined ? { limit } : { before, limit });
      const changes = await withCauses(db, found);
      for (const change of changes) await (options.json ? printJson(change) : print(changeLine(change, change.causes)));
      before = changes.at(-1)?.tid;
      left = changes.length < limit ? 0 : left - changes.length;
    }
  });
}
