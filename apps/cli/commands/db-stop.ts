import { KernelError } from '#libs/database';
import { stopEmbedded } from '#libs/embedded';
import { configOf, type ReaderOptions } from '../open.ts';
import { print, printJson } from '../output.ts';
import type { Context } from '../program.ts';

/** `tidemark db stop [--force]`: stops the embedded database; refused while others use it. */
export async function dbStop(_context: Context, options: ReaderOptions & { force?: boolean }): Promise<void> {
  const { databaseUrl, dataDir } = configOf(options);
  if (databaseUrl !== undefined) {
    throw new KernelError(
      'configuration',
      'a DATABASE_URL is given, so the embedded database is not in use: there is nothing to stop',
    );
  }
  const outcome = await stopEmbedded(dataDir, { force: options.force === true });
  await (options.json ? printJson({ outcome, dataDir }) : print(`the database in ${dataDir} is ${outcome}`));
}
