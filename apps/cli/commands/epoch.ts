import { Database, KernelError } from '#libs/database';
import { tailStatus } from '#libs/dispatch';
import { readEpoch } from '#libs/journal';
import { keepEpoch, renewEpoch } from '../epoch.queries.ts';
import { type ReaderOptions, withDatabase } from '../open.ts';
import { print, printJson } from '../output.ts';
import type { Context } from '../program.ts';

type Options = ReaderOptions & { force?: boolean };

/** `tidemark epoch`: the name of this database's journal in cursors. */
export async function epochShow(_context: Context, options: ReaderOptions): Promise<void> {
  await withDatabase(options, async (database) => {
    const epoch = await readEpoch(database);
    await (options.json ? printJson({ epoch }) : print(epoch));
  });
}

/** `tidemark epoch renew [--force]`: every cursor that was given out before is refused from now on. */
export function epochRenew(_context: Context, options: Options): Promise<void> {
  return change(options, renewEpoch, 'cursors given out before are refused');
}

/** `tidemark epoch keep [--force]`: this copy takes its original's place, whose cursors go on here. */
export function epochKeep(_context: Context, options: Options): Promise<void> {
  return change(options, keepEpoch, 'cursors of the database that this one was copied from go on');
}

async function change(
  options: Options,
  name: (owner: Database) => Promise<string>,
  consequence: string,
): Promise<void> {
  await withDatabase(options, async (_database, { url, ownerUrl }) => {
    const owner = Database.open({ url: ownerUrl ?? url, poolSize: 1, applicationName: 'tidemark cli' });
    try {
      if (!options.force) await refuseWhileServed(owner);
      const epoch = await name(owner);
      await (options.json ? printJson({ epoch }) : print(`the epoch is ${epoch}: ${consequence}`));
    } finally {
      await owner.close();
    }
  });
}

/** A server reads the epoch when it starts. */
async function refuseWhileServed(owner: Database): Promise<void> {
  const { processes } = await tailStatus(owner);
  if (processes.length === 0) return;
  const who = processes.map(({ name, host, pid }) => `${name} (${host}, pid ${pid})`).join(', ');
  const advice = 'stop them first, or use --force and restart them afterwards';
  throw new KernelError(
    'conflict',
    `processes were at work within the last minute, and know the epoch as it was: ${who}: ${advice}`,
  );
}
