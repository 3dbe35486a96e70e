import { checkFitness } from '#libs/database';
import {
  migrate as migrateDatabase,
  migrationStatus,
  migrationsFolder,
  type PluginMigrations,
  refuseNewer,
} from '#libs/migrations';
import { EXIT } from '../exit-codes.ts';
import { type ReaderOptions, withDatabase } from '../open.ts';
import { print, printJson } from '../output.ts';
import type { Context } from '../program.ts';

/** `tidemark migrate [--status]`. */
export async function migrate(_context: Context, options: ReaderOptions & { status?: boolean }): Promise<number> {
  return withDatabase(options, async (_database, { url, ownerUrl }, plugins) => {
    await checkFitness(url);
    if (options.status) return status(ownerUrl ?? url, plugins.migrations, options);
    const { applied } = await migrateDatabase(ownerUrl ?? url, [migrationsFolder], plugins.migrations);
    if (options.json) await printJson({ applied });
    else
      await print(
        applied.length === 0
          ? 'nothing to do: the database is at this version'
          : applied.map((name) => `applied ${name}`).join('\n'),
      );
    return EXIT.done;
  });
}

async function status(url: string, plugins: readonly PluginMigrations[], options: ReaderOptions): Promise<number> {
  const found = await migrationStatus(url, [migrationsFolder], plugins);
  if (options.json) await printJson(found);
  else {
    for (const name of found.applied) await print(`${found.unknown.includes(name) ? 'unknown' : 'applied'}  ${name}`);
    for (const name of found.pending) await print(`pending  ${name}`);
  }
  refuseNewer(found);
  return found.pending.length === 0 ? EXIT.done : EXIT.findings;
}
