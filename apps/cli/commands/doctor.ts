import { Database } from '#libs/database';
import { resources } from '#libs/resources';
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
  return withDatabase(options, async (database, { url, ownerUrl }) => {
    const owner = Database.open({ url: ownerUrl ?? url, poolSize: 1, applicationName: 'tidemark cli' });
    try {
      const results = await examine({ database, url, owner, resources });
      const findings = results.reduce((sum, result) => sum + result.findings.length, 0);
      if (options.json) await printJson({ findings, checks: results });
      else await printAll(results, findings);
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

async function printAll(results: readonly Result[], count: number): Promise<void> {
  for (const { check, skipped, findings } of results) {
    await print(`${skipped ? 'not seen' : findings.length > 0 ? 'finding ' : 'ok      '}  ${check}`);
    for (const finding of findings) await print(`            ${finding}`);
  }
  await print(count === 0 ? 'nothing found' : `${count} finding${count === 1 ? '' : 's'}`);
}
