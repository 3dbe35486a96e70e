import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { Database } from '#libs/database';
import { joinEmbedded, stopEmbedded } from '#libs/embedded';
import { type Changed, changeStatuses } from './change-statuses.ts';
import { type DemoServer, startDemoServer } from './demo-server.ts';
import {
  countJournaled,
  countTasks,
  countTransitions,
  damageShot,
  shotsThatDiffer,
} from './independent-count.queries.ts';
import { type DemoProduction, makeProduction } from './make-production.ts';

const USAGE = `npm run demo:production -- [--shots 200] [--changes 1000] [--per-second 40]

Two servers, a production, and changes of its tasks' statuses at both. Says what happened, and counts everything once more by SQL of its own.
Ends with 0 when that says the same, and with 1 when not. Works on a PostgreSQL of its own, in a folder that is removed afterwards.`;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** What it was called with makes no sense. */
class UsageError extends Error {}

/** What has been said and counted, side by side. */
class Verdict {
  #agrees = true;

  /** Prints what the servers say, and whether SQL that shares nothing with them counts the same. */
  compare(what: string, said: unknown, counted: unknown): void {
    const agrees = isDeepStrictEqual(said, counted);
    this.#agrees &&= agrees;
    console.log(agrees ? `  ${what}: ${shown(said)}` : `  ${what}: ${shown(said)}, BUT SQL COUNTS ${shown(counted)}`);
  }

  end(): number {
    console.log(this.#agrees ? '\nSQL has counted the same.' : '\nSQL HAS COUNTED SOMETHING ELSE.');
    return this.#agrees ? 0 : 1;
  }
}

async function main(): Promise<number> {
  const wanted = options();
  if (wanted === 'help') {
    console.log(USAGE);
    return 0;
  }
  const interrupted = Promise.withResolvers<number>();
  const interrupt = (signal: NodeJS.Signals, number: number) => {
    console.error(`${signal}: cleaning up`);
    interrupted.resolve(128 + number);
  };
  // a second signal ends it where it is
  for (const signal of SIGNALS) process.once(signal, interrupt);
  // a reader that has seen enough (`| head`) ends it as SIGPIPE would: nothing is confirmed, so not with 0
  process.stdout.on('error', () => interrupted.resolve(128 + 13));
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-demo-'));
  // as root, PostgreSQL runs under another account, which is to come in: else its data would lie elsewhere
  await chmod(folder, 0o755);
  try {
    return await withDatabase(folder, wanted, interrupted.promise);
  } finally {
    await rm(folder, { recursive: true, force: true });
    for (const signal of SIGNALS) process.off(signal, interrupt);
  }
}

async function withDatabase(folder: string, wanted: Wanted, interrupted: Promise<number>): Promise<number> {
  const embedded = await joinEmbedded(folder);
  const database = Database.open({ url: embedded.ownerUrl, poolSize: 1 });
  const servers: Promise<DemoServer>[] = [];
  const start = () => {
    const server = startDemoServer(folder);
    servers.push(server);
    return server;
  };
  try {
    return await Promise.race([demonstrate(start, database, wanted), interrupted]);
  } finally {
    await Promise.allSettled(servers.map(async (server) => (await server).stop()));
    await database.close();
    await embedded.release();
    await stopEmbedded(folder, { force: true });
    // not in the folder where that is too deep for a socket, or closed to PostgreSQL's account
    await rm(embedded.clusterDir, { recursive: true, force: true });
  }
}

async function demonstrate(start: () => Promise<DemoServer>, database: Database, wanted: Wanted): Promise<number> {
  const { shots, changes, perSecond } = wanted;
  const first = await start();
  const second = await start();
  console.log(`Two servers on one database: ${first.url} and ${second.url}`);
  const production = await makeProduction(first, shots);
  console.log(`${production.tasks.length} tasks on ${shots} shots. Changing statuses at both ...\n`);
  const changed = await changeStatuses([first, second], production.tasks, { changes, perSecond });
  return await account(first, second, database, production, changed);
}

async function account(
  first: DemoServer,
  second: DemoServer,
  database: Database,
  production: DemoProduction,
  changed: Changed,
): Promise<number> {
  const verdict = new Verdict();
  const changes = changed.visible.length;
  console.log(`${changes} changes in ${changed.seconds.toFixed(1)} s`);
  verdict.compare('changes', changes, await countJournaled(database));
  const counted = await countTransitions(database);
  for (const name of new Set([...changed.transitions.keys(), ...counted.keys()])) {
    verdict.compare(name.padEnd(16), changed.transitions.get(name), counted.get(name));
  }

  console.log('\nVisible at the other server, its list asked to wait for the change');
  console.log(`  p50 ${percentile(changed.visible, 50)} ms, p99 ${percentile(changed.visible, 99)} ms`);
  verdict.compare('lists that showed something else', changed.notShown, 0);
  const rows = await countTasks(database);
  for (const server of [first, second]) {
    verdict.compare(`tasks by type and status at ${server.url}`, await listedTasks(server, production), rows);
  }

  console.log('\nConsistency');
  const records = await propagations(second, production, changes);
  verdict.compare('changes that were validated afterwards', records.length, changes);
  verdict.compare('of these not valid', records.filter((record) => !record.consistency_valid).length, 0);
  await findings(first, database, production, verdict, 'shots that differ from their tasks');
  const { shot, type } = production.tasks[0] as { shot: string; type: string };
  await damageShot(database, shot, type);
  await findings(second, database, production, verdict, 'the same with one row altered behind all backs');
  const body = { project_id: production.project, dry_run: false, reason: 'a demonstration' };
  await first.ask('POST', '/data-consistency/repair', { body });
  await findings(second, database, production, verdict, 'the same after a repair');
  return verdict.end();
}

/** Prints what a report finds beside what SQL finds. */
async function findings(
  server: DemoServer,
  database: Database,
  { project }: DemoProduction,
  verdict: Verdict,
  what: string,
): Promise<void> {
  const { body } = await server.ask('GET', `/data-consistency/report?project_id=${project}`);
  const invalid = (body.entities as Entity[]).filter(({ valid }) => !valid);
  verdict.compare(
    what,
    invalid.map(({ entity_id }) => entity_id),
    await shotsThatDiffer(database),
  );
  for (const { entity_id, inconsistencies } of invalid) {
    for (const { kind, field, expected, actual } of inconsistencies) {
      console.log(`    shot ${entity_id}: ${field} is ${kind}: ${shown(actual)} instead of ${shown(expected)}`);
    }
  }
}

interface Entity {
  readonly entity_id: string;
  readonly valid: boolean;
  readonly inconsistencies: readonly { kind: string; field: string; expected: unknown; actual: unknown }[];
}

/** How many tasks of each type are at each status in the lists of a server. */
async function listedTasks(server: DemoServer, { project }: DemoProduction): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const shot of await all(server, `/shots?project_id=${project}&limit=100`)) {
    for (const [type, status] of Object.entries(shot['task_status'] as Record<string, string>)) {
      const name = `${type} ${status}`;
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  return counts;
}

/** What came of the changes: validation is an effect, so the last ones may come a moment later. */
async function propagations(server: DemoServer, { project }: DemoProduction, expected: number) {
  const ask = () => all(server, `/data-consistency/propagations?project_id=${project}&limit=100`);
  const patience = performance.now() + 60_000;
  let records = await ask();
  while (records.length < expected && performance.now() < patience) {
    await pause(200);
    records = await ask();
  }
  return records;
}

/** The items of all pages of a list. */
async function all(server: DemoServer, path: string): Promise<Record<string, unknown>[]> {
  const items: Record<string, unknown>[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { body } = await server.ask('GET', cursor === '' ? path : `${path}&cursor=${cursor}`);
    items.push(...(body.items as Record<string, unknown>[]));
    cursor = body.next as string | null;
  }
  return items;
}

function percentile(values: readonly number[], percent: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.ceil((percent / 100) * sorted.length) - 1] as number).toFixed(1);
}

function shown(value: unknown): string {
  if (!(value instanceof Map)) return JSON.stringify(value);
  return [...value]
    .toSorted()
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

interface Wanted {
  readonly shots: number;
  readonly changes: number;
  readonly perSecond: number;
}

function options(): Wanted | 'help' {
  const values = flags();
  if (values.help) return 'help';
  const number = (name: 'shots' | 'changes' | 'per-second') => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 1) return value;
    throw new UsageError(`--${name} must be a whole number from 1, and not ${values[name]}`);
  };
  return { shots: number('shots'), changes: number('changes'), perSecond: number('per-second') };
}

function flags() {
  try {
    return parseArgs({
      options: {
        shots: { type: 'string', default: '200' },
        changes: { type: 'string', default: '1000' },
        'per-second': { type: 'string', default: '40' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const refused = error instanceof UsageError;
  console.error(refused ? `${error.message}\n\n${USAGE}` : error);
  process.exitCode = refused ? 2 : 1;
}
