import { Permissions } from '#libs/access';
import { loadPlugins } from '#libs/kernel';
import { configOf, type ReaderOptions } from '../open.ts';
import { print, printJson, table } from '../output.ts';
import { permissionRows } from '../permission-table.ts';
import type { Context } from '../program.ts';

/** `tidemark permissions`: the one table by which servers judge, with what plugins add to it. Needs no database. */
export async function permissions(_context: Context, options: ReaderOptions): Promise<void> {
  const known = new Permissions((await loadPlugins(configOf(options))).permissions);
  await (options.json ? printJson(known.list()) : print(table(permissionRows(known))));
}
