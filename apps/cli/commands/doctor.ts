import { Database } from '#libs/database';
import type { Plugins } from '#libs/kernel';
import { resources } from '#libs/resources';
import { findMigratedPlugins } from '../doctor.queries.ts';
import { type Check, checks, type Patient } from '../doctor-checks.ts';
import { EXIT } from '../exit-codes.ts';
import { type ReaderOptions, withDatabase } from '../open.ts';
import { print, printJson } from '../output.ts';
import type { Context } from '../program.ts';

interface Result {
  readonly check: string;
  readonly skipped: boolean;
  readonly findings: string[];
}

/** `tidemark doctor`: what would break a promise. Exit 1 when something is found. */
export async function doctor(_context: Context, options: ReaderOptions): Promise<number> {
  return withDatabase(options, async (database, { url, ownerUrl }, loaded) => {
    const owner = Database.open({ url: ownerUrl ?? url, poolSize: 1, applicationName: 'tidemark cli' });
    try {
      const patient = {
        database,
        url,
        owner,
        resources: loaded.resourcesBeside(resources),
        migrations: loaded.migrations,
      };
      const results = await examine(patient);
      const plugins = await listPlugins(database, loaded);
      const findings = results.reduce((sum, result) => sum + result.findings.length, 0);
      if (options.json) await printJson({ findings, plugins, checks: results });
      else await printAll(results, findings, plugins);
      return findings === 0 ? EXIT.done : EXIT.findings;
    } finally {
      await owner.close();
    }
  });
}

/** All checks in their order; after a finding of one that the others stand on, those are not made. */
async function examine(patient: Patient): Promise<Result[]> {
  const results: Result[] = [];
  let standing = true;
  for (const check of checks) {
    const found = standing ? await check.examine(patient) : 'skipped';
    results.push(resultOf(check, found));
    if (check.basic && found.length > 0) standing = false;
  }
  return results;
}

function resultOf({ name }: Check, found: string[] | 'skipped'): Result {
  return { check: name, skipped: found === 'skipped', findings: found === 'skipped' ? [] : found };
}

interface PluginLine {
  readonly name: string;
  /** As TIDEMARK_PLUGINS names it; null for one that has migrated this database and is not loaded now. */
  readonly module: string | null;
  readonly resources: string[];
}

async function listPlugins(database: Database, { loaded }: Plugins): Promise<PluginLine[]> {
  const lines = loaded.map(({ given, plugin: { name, resources: own = [] } }) => ({
    ...{ name, module: given, resources: own.map((resource) => resource.name) },
  }));
  const migrated = await findMigratedPlugins(database);
  const absent = migrated.filter((name) => !lines.some((line) => line.name === name));
  return [...lines, ...absent.map((name) => ({ name, module: null, resources: [] }))];
}

function pluginText({ name, module, resources: own }: PluginLine): string {
  if (module === null) return `${name}: not loaded; its tables stay as they are`;
  return `${name} (${module})${own.length === 0 ? '' : `: ${own.join(', ')}`}`;
}

async function printAll(results: readonly Result[], count: number, plugins: readonly PluginLine[]): Promise<void> {
  for (const plugin of plugins) await print(`plugin    ${pluginText(plugin)}`);
  for (const { check, skipped, findings } of results) {
    await print(`${skipped ? 'not seen' : findings.length > 0 ? 'finding ' : 'ok      '}  ${check}`);
    for (const finding of findings) await print(`            ${finding}`);
  }
  await print(count === 0 ? 'nothing found' : `${count} finding${count === 1 ? '' : 's'}`);
}
