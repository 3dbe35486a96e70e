import { KernelError, type Queryable } from '#libs/database';
import { findId, findIdAsOf, frontier, gatherJsonKeys, type Resource, resolveAsOf, rowAsOf } from '#libs/journal';
import { type ReaderOptions, withReader } from '../open.ts';
import { print, printJson } from '../output.ts';
import type { Context } from '../program.ts';

interface ShowOptions extends ReaderOptions {
  asOf?: string;
}

/** `tidemark show <resource> <id>`: one row as of a tid or time, with its last change. */
export async function show(_context: Context, name: string, text: string, options: ShowOptions): Promise<void> {
  await withReader(options, async ({ db, resource }) => {
    const kind = resource(name);
    const tid = options.asOf === undefined ? (await frontier(db)).safe : await resolveAsOf(db, options.asOf);
    const id = await idOf(db, kind, text, options.asOf === undefined ? undefined : tid);
    const row = id === undefined ? undefined : await rowAsOf(db, kind.name, id, tid);
    if (row === undefined) throw missing(name, text, options.asOf);
    const values = gatherJsonKeys(kind, row.values);
    const { tid: changed, time, author, comment, change } = row.entry;
    if (options.json) {
      await printJson({ resource: kind.name, id, tid: changed, change, time, author, comment, values });
      return;
    }
    await print(
      `${kind.name} ${id}, last changed by ${author} at ${time} (tid ${changed})${comment ? `: ${comment}` : ''}\n`,
    );
    for (const [field, value] of Object.entries(values)) await print(shown(field, value));
  });
}

function idOf(db: Queryable, kind: Resource, text: string, tid: number | undefined): Promise<string | undefined> {
  return tid === undefined ? findId(db, kind, text) : findIdAsOf(db, kind, text, tid);
}

function shown(field: string, value: unknown): string {
  if (typeof value !== 'string') return `${field}: ${JSON.stringify(value)}`;
  return value.includes('\n') ? `${field}:\n${value.replace(/\n$/, '').replace(/^/gm, '  ')}` : `${field}: ${value}`;
}

function missing(name: string, text: string, asOf: string | undefined): KernelError {
  return new KernelError('not_found', `there is no ${name} "${text}"${asOf === undefined ? '' : ` as of ${asOf}`}`);
}
