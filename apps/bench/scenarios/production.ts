import type { Database } from '../../../dist/libs/database/index.js';
import { highestTid } from '../../../dist/libs/dispatch/index.js';
import type { Kernel } from '../../../dist/libs/kernel/index.js';
import { migrate, migrationsFolder } from '../../../dist/libs/migrations/index.js';
import { changeTask, projections, resources } from '../../../dist/libs/resources/index.js';
import { type Figure, percentile } from '../figures.ts';
import { HttpConnection } from '../http/client.ts';
import { openProcess } from '../process.ts';
import { execute, openServer, type Server } from '../server.ts';
import { terminate } from './command.ts';
import { HEADERS, serve, TOKEN } from './http.ts';
import type { Scenario } from './scenario.ts';
import { atFixedRate } from './steady.ts';

const SHOTS = 10_000;
const TASKS = SHOTS * 8;
const BULK = 1_000;
const PER_SECOND = 200;
const VALIDATED = 100;
const ASKED = 100;
const STATUSES = ['wip', 'review', 'retake', 'done'] as const;
const FOLLOWED = projections.map(({ name }) => name);

/** 10,000 shots with 8 tasks each: the projections' first catch-up, lists, bulk changes, and how soon a change is visible. */
export const production: Scenario = {
  title: `production: ${SHOTS} shots with 8 tasks each`,
  async run(options, say) {
    const server = await openServer(options.databaseUrl);
    const closing: (() => Promise<unknown>)[] = [];
    try {
      say('making shots and tasks');
      const url = await createProduction(server);
      const kernel = await openProcess(url, { poolSize: 16, resources, projections });
      closing.push(() => kernel.database.close());
      say('the first catch-up');
      const started = performance.now();
      await kernel.start();
      closing.push(() => kernel.stop());
      await caughtUp(kernel);
      const catchUp = performance.now() - started;
      // else files of the write-ahead log are made anew for a while, which holds up every commit for 50 to 100 ms
      await execute(url, 'VACUUM (ANALYZE)', 'CHECKPOINT');
      const program = await serve(url);
      closing.push(() => terminate(program.command));
      const connection = await HttpConnection.open(program.url);
      closing.push(async () => connection.close());
      const runs = options.runs ?? (options.quick ? 2 : 5);
      const seconds = options.seconds ?? (options.quick ? 2 : 10);
      await visible(kernel, 2);
      const measured: Measured[] = [];
      for (let run = 1; run <= runs; run++) {
        say(`run ${run} of ${runs}`);
        const lists = await pages(connection);
        const seen = await visible(kernel, seconds);
        const bulkChange = await bulk(connection, run);
        await caughtUp(kernel);
        const consistency = await consistencyOf(connection, program.url, run);
        measured.push({ lists, bulk: bulkChange, seen, ...consistency });
      }
      return figures(catchUp, measured);
    } finally {
      for (const close of closing.toReversed()) await close();
      await server.close();
    }
  },
};

interface Measured extends Consistency {
  readonly lists: readonly number[];
  readonly bulk: number;
  readonly seen: readonly number[];
}

/** Milliseconds of single requests. */
interface Consistency {
  readonly validations: readonly number[];
  readonly healths: readonly number[];
  readonly report: number;
}

function figures(catchUp: number, measured: readonly Measured[]): Figure[] {
  const of = (what: 'lists' | 'seen' | 'validations' | 'healths', percent: number) =>
    measured.map((run) => percentile(run[what], percent));
  const bulks = measured.map((run) => run.bulk);
  return [
    { name: `first catch-up of 3 projections over ${TASKS} tasks`, unit: 's', runs: [catchUp / 1000] },
    { name: 'GET /shots, a page of 50: p50', unit: 'ms', runs: of('lists', 50) },
    { name: 'GET /shots, a page of 50: p99', unit: 'ms', runs: of('lists', 99), target: { atMost: 15 } },
    { name: `PUT /tasks/bulk/status of ${BULK}`, unit: 'ms', runs: bulks, target: { atMost: 1_000 } },
    { name: `status to projection at ${PER_SECOND}/s: p50`, unit: 'ms', runs: of('seen', 50) },
    { name: `status to projection at ${PER_SECOND}/s: p99`, unit: 'ms', runs: of('seen', 99), target: { atMost: 25 } },
    { name: `validate/bulk of ${VALIDATED}: p50`, unit: 'ms', runs: of('validations', 50), target: { atMost: 100 } },
    { name: `validate/bulk of ${VALIDATED}: p99`, unit: 'ms', runs: of('validations', 99) },
    { name: 'health: p50', unit: 'ms', runs: of('healths', 50), target: { atMost: 5 } },
    { name: 'health: p99', unit: 'ms', runs: of('healths', 99) },
    {
      name: `report of ${SHOTS} shots`,
      unit: 's',
      runs: measured.map((run) => run.report / 1000),
      target: { atMost: 5 },
    },
  ];
}

async function createProduction(server: Server): Promise<string> {
  const url = await server.createDatabase();
  await migrate(url, [migrationsFolder]);
  await execute(
    url,
    `INSERT INTO task_status (id, name, is_default, is_wip, is_feedback, is_retake, is_done) VALUES
       ('todo', 'To do', true, false, false, false, false), ('wip', 'At work', false, true, false, false, false),
       ('review', 'To be seen', false, false, true, false, false), ('retake', 'Again', false, false, false, true, false),
       ('done', 'Done', false, false, false, false, true)`,
    `INSERT INTO task_type (id, name, position) SELECT 'type' || n, 'Type ' || n, n FROM generate_series(1, 8) n`,
    `INSERT INTO project (name) VALUES ('Big')`,
    `INSERT INTO sequence (project_id, name) SELECT 1, 'SQ' || n FROM generate_series(1, 100) n`,
    `INSERT INTO shot (project_id, sequence_id, name) SELECT 1, 1 + n % 100, 'SH' || n FROM generate_series(1, ${SHOTS}) n`,
    // a tid for each sequence: people do not make 80,000 tasks in one statement
    `DO $$ BEGIN FOR q IN 1..100 LOOP
       INSERT INTO task (project_id, entity_type, entity_id, task_type, initial_status, status)
         SELECT 1, 'shot', s.id, 'type' || n, 'todo', 'todo' FROM shot s CROSS JOIN generate_series(1, 8) n WHERE s.sequence_id = q;
     END LOOP; END $$`,
    'VACUUM (ANALYZE)',
  );
  return url;
}

async function caughtUp(kernel: Kernel<unknown>): Promise<void> {
  const tid = await highestTid(kernel.database as Database);
  await kernel.waitFor(tid, { projections: FOLLOWED, timeout: 600_000 });
}

/** A request that is answered with 200, and the milliseconds that it took. */
async function ask(connection: HttpConnection, method: string, path: string, sent?: object) {
  const asked = performance.now();
  const { status, body } = await connection.ask(method, path, HEADERS, sent && JSON.stringify(sent));
  const took = performance.now() - asked;
  if (status !== 200) throw new Error(`${method} ${path}: ${status} ${body}`);
  return { took, body };
}

/** Milliseconds for each page of all shots. */
async function pages(connection: HttpConnection): Promise<number[]> {
  const all: number[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const at = cursor === '' ? '' : `&cursor=${cursor}`;
    const { took, body } = await ask(connection, 'GET', `/shots?project_id=1&limit=50${at}`);
    all.push(took);
    cursor = (JSON.parse(body) as { next: string | null }).next;
  }
  return all;
}

/** What it takes to validate shots all over the project, to ask for health, and to report on all of it. */
async function consistencyOf(connection: HttpConnection, url: string, run: number): Promise<Consistency> {
  const validations: number[] = [];
  const healths: number[] = [];
  for (let n = 0; n < ASKED; n++) {
    const entities = Array.from({ length: VALIDATED }, (_, k) => ({
      entity_type: 'shot',
      entity_id: String(1 + ((k * 97 + n * 13 + run) % SHOTS)),
    }));
    const { took, body } = await ask(connection, 'POST', '/data-consistency/validate/bulk', { entities });
    const { results } = JSON.parse(body) as { results: { valid: boolean }[] };
    if (results.length !== VALIDATED || !results.every(({ valid }) => valid)) throw new Error(`not valid: ${body}`);
    validations.push(took);
    healths.push((await ask(connection, 'GET', '/data-consistency/health?project_id=1')).took);
  }
  const asked = performance.now();
  const headers = { authorization: `Bearer ${TOKEN}` };
  const answer = await fetch(new URL('/data-consistency/report?project_id=1', url), { headers });
  const { summary } = (await answer.json()) as { summary: { entities: number; valid: number } };
  const report = performance.now() - asked;
  if (summary.valid !== SHOTS) throw new Error(`not all are valid: ${JSON.stringify(summary)}`);
  return { validations, healths, report };
}

/** Milliseconds for one bulk change of tasks all over the project. */
async function bulk(connection: HttpConnection, run: number): Promise<number> {
  const updates = Array.from({ length: BULK }, (_, n) => ({
    task_id: 1 + ((n * 79 + run) % TASKS),
    status: STATUSES[(n + run) % STATUSES.length],
  }));
  return (await ask(connection, 'PUT', '/tasks/bulk/status?partial=true', { updates })).took;
}

/** Milliseconds from the answer of a change until the projection reflects it, changes coming at fixed moments. */
async function visible(kernel: Kernel<unknown>, seconds: number): Promise<number[]> {
  const took: number[] = [];
  await atFixedRate({ perSecond: PER_SECOND, seconds }, async (n) => {
    const id = String(1 + ((n * 7919 + Math.trunc(Math.random() * TASKS)) % TASKS));
    const status = STATUSES[n % STATUSES.length] as string;
    const { tid } = await changeTask(kernel, { author: 'bench' }, id, { status });
    if (tid === null) return;
    const changed = performance.now();
    await kernel.waitFor(tid, { projections: ['entity_task_status'], timeout: 60_000 });
    took.push(performance.now() - changed);
  });
  return took;
}
