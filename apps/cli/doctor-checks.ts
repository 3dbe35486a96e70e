import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkFitness, type Database, KernelError } from '#libs/database';
import { tailStatus } from '#libs/dispatch';
import { frontier, type Resource } from '#libs/journal';
import { migrationStatus, migrationsFolder, type PluginMigrations } from '#libs/migrations';
import { holderText } from './commands/status.ts';
import {
  findForbiddenRights,
  findOldPrepared,
  findReach,
  findSequenceProblems,
  findSubscriptions,
  findTableProblems,
  findTimelines,
  guardSurvivesSavepoint,
  listFunctionBodies,
  mayDraw,
} from './doctor.queries.ts';

/** The database that is looked at: as the login role, and as its owner where that is known. */
export interface Patient {
  readonly database: Database;
  readonly url: string;
  readonly owner: Database;
  readonly resources: readonly Resource[];
  /** Of plugins. */
  readonly migrations: readonly PluginMigrations[];
}

export interface Check {
  readonly name: string;
  /** Without this the other checks cannot be made. */
  readonly basic?: boolean;
  /** Sentences, one for each finding; 'skipped' where this role may not look. */
  examine(patient: Patient): Promise<string[] | 'skipped'>;
}

/** The checks in the order in which they make sense to a reader. */
export const checks: readonly Check[] = [
  {
    name: 'the server is fit: version, encoding',
    basic: true,
    examine: ({ url }) => sentences(checkFitness(url)),
  },
  { name: 'every migration is applied', basic: true, examine: unapplied },
  { name: 'the functions are those of the migrations', examine: changedFunctions },
  {
    name: 'the sequence of tids',
    examine: async ({ database }) => prefixed('the sequence tidemark.tid ', await findSequenceProblems(database)),
  },
  {
    name: 'nobody but the owner can write the journal or draw a tid',
    examine: ({ database }) => findForbiddenRights(database),
  },
  { name: 'journaled tables and their triggers', examine: tableProblems },
  { name: 'no logical replication into journaled tables', examine: subscriptions },
  { name: 'no prepared transaction older than a minute', examine: prepared },
  { name: 'nobody holds the tail for more than a minute', examine: longHolders },
  { name: 'no tid and no position is ahead of the sequence', examine: ahead },
  { name: 'the database is the one whose cursors it takes', examine: timeline },
  { name: 'the guard of the draw survives a savepoint', examine: savepoint },
];

async function unapplied({ url, migrations }: Patient): Promise<string[]> {
  const { pending, unknown } = await migrationStatus(url, [migrationsFolder], migrations);
  return [
    ...pending.map((name) => `${name} is pending: run tidemark migrate`),
    ...unknown.map((name) => `${name} is applied and not known to this version: the database is newer`),
  ];
}

async function changedFunctions({ database }: Patient): Promise<string[]> {
  const files = (await readdir(migrationsFolder)).filter((file) => /^\d{4}_.*\.sql$/.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(migrationsFolder, file), 'utf8')));
  const functions = await listFunctionBodies(database);
  return functions
    .filter(({ name, body }) => !lastMaking(texts, name)?.includes(body))
    .map(({ name }) => `tidemark.${name}() is not what a migration has made it`);
}

/** The last migration that makes a function: those before it are superseded. */
function lastMaking(texts: readonly string[], name: string): string | undefined {
  return texts.findLast((text) =>
    ['CREATE', 'CREATE OR REPLACE'].some((verb) => text.includes(`${verb} FUNCTION tidemark.${name}(`)),
  );
}

async function tableProblems({ database, resources }: Patient): Promise<string[]> {
  const problems = (await findTableProblems(database)).map(({ relation, problem }) => `${relation}: ${problem}`);
  const { rows } = await database.query<{ resource: string }>('SELECT resource FROM tidemark.resources');
  const known = new Set(rows.map((row) => row.resource));
  const missing = resources.filter(({ name }) => !known.has(name));
  return [...problems, ...missing.map(({ name, table }) => `${table}, the table of ${name}, is not journaled`)];
}

async function subscriptions({ database }: Patient): Promise<string[]> {
  const found = await findSubscriptions(database);
  return found.map(
    ({ relation, subscription }) => `the subscription ${subscription} writes ${relation}, which is not journaled`,
  );
}

async function prepared({ database }: Patient): Promise<string[]> {
  const found = await findOldPrepared(database);
  return found.map(
    ({ gid, owner, prepared: since }) => `"${gid}" of ${owner}, prepared ${since}: commit it or roll it back`,
  );
}

async function longHolders({ database }: Patient): Promise<string[]> {
  const { floorHolders } = await tailStatus(database);
  return floorHolders
    .filter(({ since }) => since !== null && Date.now() - Date.parse(since) > 60_000)
    .map((holder) => `at ${holder.floor}: ${holderText(holder)}`);
}

async function ahead({ database }: Patient): Promise<string[]> {
  const { journal, position } = await findReach(database);
  const { head } = await frontier(database);
  const sentence = (what: string, tid: number) =>
    `${what} ${tid} is ahead of the sequence, which is at ${head}: it was set back, or the database restored to an earlier state`;
  return [
    ...(journal > head ? [sentence("the journal's tid", journal)] : []),
    ...(position > head ? [sentence('the position of a process,', position)] : []),
  ];
}

/** A copy that is another database has another epoch by itself; one on another timeline looks like its original. */
async function timeline({ owner }: Patient): Promise<string[] | 'skipped'> {
  const found = await findTimelines(owner);
  if (found === undefined) return 'skipped';
  if (found.named === found.now) return [];
  const problem = `the server was restored or failed over since the epoch was named (timeline ${found.named}, now ${found.now})`;
  return [`${problem}: tidemark epoch renew, or, when no change was lost, tidemark epoch keep`];
}

async function savepoint({ owner }: Patient): Promise<string[] | 'skipped'> {
  const connection = await owner.connect();
  try {
    if (!(await mayDraw(connection))) return 'skipped';
    return (await guardSurvivesSavepoint(connection))
      ? []
      : ['a tid drawn after a savepoint was rolled back is not declared by a lock'];
  } finally {
    connection.release();
  }
}

async function sentences(check: Promise<void>): Promise<string[]> {
  try {
    await check;
    return [];
  } catch (error) {
    if (error instanceof KernelError && error.code === 'configuration') return error.message.split('\n');
    throw error;
  }
}

function prefixed(prefix: string, endings: readonly string[]): string[] {
  return endings.map((ending) => prefix + ending);
}
