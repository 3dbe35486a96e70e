import { setTimeout as pause } from 'node:timers/promises';
import { Logger, run } from 'graphile-worker';
import pg from 'pg';
import { type Figure, percentile, ratios } from '../figures.ts';
import { openProcess, task } from '../process.ts';
import { createJournaled, execute, openServer, type Server, TASKS } from '../server.ts';
import type { Scenario } from './scenario.ts';
import { type Clock, writeSteadily } from './steady.ts';

/** Handlers at once, and connections: the same for both. */
const CONCURRENCY = 10;
const LISTENERS = 100;
const MATCHING = 3;
const PER_SECOND = 100;
const IN_FLIGHT = 16;

type Kernel = Awaited<ReturnType<typeof openProcess>>;
type Close = () => Promise<unknown>;

const quiet = new Logger(() => () => undefined);

/** What the effect ledger does in a second, how soon it begins, and what it costs those who write. */
export const effects: Scenario = {
  title: 'side effects: a backlog beside graphile-worker, the start of each, and the cost of many listeners',
  async run(options, say) {
    const server = await openServer(options.databaseUrl);
    const closing: Close[] = [() => server.close()];
    try {
      const runs = options.runs ?? (options.quick ? 2 : 5);
      const seconds = options.seconds ?? (options.quick ? 3 : 20);
      const backlog = options.quick ? 5_000 : 20_000;
      return [
        ...(await drains(server, { runs, backlog, say })),
        ...(await starts(server, closing, { seconds, say })),
        ...(await costs(server, closing, { runs, seconds: Math.min(seconds, 5), say })),
      ];
    } finally {
      for (const close of closing.reverse()) await close();
    }
  },
};

interface Settings {
  readonly runs: number;
  readonly say: (progress: string) => void;
}

async function drains(server: Server, { runs, backlog, say }: Settings & { backlog: number }): Promise<Figure[]> {
  const url = await createJournaled(server);
  const worker = await server.createDatabase();
  const measured: { effects: number[]; jobs: number[] } = { effects: [], jobs: [] };
  for (let n = 0; n <= runs; n++) {
    say(n === 0 ? 'warming up' : `a backlog of ${backlog}, run ${n} of ${runs}`);
    const jobs = await jobsPerSecond(worker, backlog);
    const done = await effectsPerSecond(url, backlog, `run-${n}`);
    if (n > 0) measured.jobs.push(jobs);
    if (n > 0) measured.effects.push(done);
  }
  const name = `effects / jobs, ${CONCURRENCY} at once`;
  return [
    { name: 'graphile-worker, empty jobs of a backlog', unit: '/s', runs: measured.jobs },
    { name: 'empty effects of a backlog', unit: '/s', runs: measured.effects },
    { name, unit: '×', runs: ratios(measured.effects, measured.jobs), target: { atLeast: 0.7 } },
  ];
}

async function jobsPerSecond(url: string, backlog: number): Promise<number> {
  const pool = new pg.Pool({ connectionString: url, max: CONCURRENCY });
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  const finished = Promise.withResolvers<void>();
  let done = 0;
  const nothing = async () => {
    done += 1;
    if (done === backlog) finished.resolve();
  };
  const options = {
    pgPool: pool,
    concurrency: CONCURRENCY,
    noHandleSignals: true,
    taskList: { nothing },
    logger: quiet,
  };
  // makes its tables
  const first = await run({ ...options, taskList: { other: nothing } });
  await first.stop();
  await execute(
    url,
    `SELECT graphile_worker.add_job('nothing', json_build_object('n', n)) FROM generate_series(1, ${backlog}) n`,
    'VACUUM (ANALYZE)',
  );
  const began = performance.now();
  const runner = await run(options);
  await finished.promise;
  const took = performance.now() - began;
  await runner.stop();
  await pool.end();
  return backlog / (took / 1000);
}

async function effectsPerSecond(url: string, backlog: number, name: string): Promise<number> {
  const finished = Promise.withResolvers<void>();
  let done = 0;
  const onPrimary = () => {
    done += 1;
    if (done === backlog) finished.resolve();
  };
  const open = async () => {
    const kernel = await openProcess(url, { poolSize: CONCURRENCY });
    kernel.listen({ name, resources: ['bench_task'], concurrency: CONCURRENCY, onPrimary });
    await kernel.start();
    return kernel;
  };
  // enters its position
  await close(await open());
  await execute(
    url,
    `DO $$ BEGIN FOR n IN 1..${backlog} LOOP UPDATE bench_task SET points = points + 1 WHERE id = 1 + n % ${TASKS}; END LOOP; END $$`,
    'VACUUM (ANALYZE)',
  );
  const began = performance.now();
  const kernel = await open();
  await finished.promise;
  const took = performance.now() - began;
  await close(kernel);
  return backlog / (took / 1000);
}

async function starts(
  server: Server,
  closing: Close[],
  { seconds, say }: { seconds: number; say: Settings['say'] },
): Promise<Figure[]> {
  say(`${PER_SECOND} changes a second, ${seconds} s`);
  const kernel = await openProcess(await createJournaled(server), { poolSize: CONCURRENCY });
  closing.push(() => close(kernel));
  const begun = new Map<number, Clock>();
  kernel.listen({ name: 'starts', onPrimary: ({ tid }) => void begun.set(tid, process.hrtime.bigint()) });
  await kernel.start();
  await writeSteadily(kernel, { perSecond: PER_SECOND, seconds: 2 });
  const written = await writeSteadily(kernel, { perSecond: PER_SECOND, seconds });
  while (!written.keys().every((tid) => begun.has(tid))) await pause(10);
  const took = [...written].map(([tid, [, at]]) => Math.max(0, Number((begun.get(tid) as Clock) - at) / 1e6));
  const name = `commit to the start of its effect, ${PER_SECOND} changes/s`;
  return [
    { name: `${name}: p50`, unit: 'ms', runs: [percentile(took, 50)] },
    { name: `${name}: p99`, unit: 'ms', runs: [percentile(took, 99)], target: { atMost: 20 } },
  ];
}

/** Three kernels on databases of their own: without a listener, with many that match nothing, and with many of which some match. */
async function costs(
  server: Server,
  closing: Close[],
  { runs, seconds, say }: Settings & { seconds: number },
): Promise<Figure[]> {
  const kernels: Kernel[] = [];
  for (const [listeners, matching] of [
    [0, 0],
    [LISTENERS, 0],
    [LISTENERS, MATCHING],
  ] as const) {
    const kernel = await openProcess(await createJournaled(server), { poolSize: CONCURRENCY });
    closing.push(() => close(kernel));
    for (let n = 0; n < listeners; n++) {
      const resources = [n < matching ? 'bench_task' : 'wiki'];
      kernel.listen({ name: `listener-${n}`, resources, onPrimary: () => undefined, onSecondary: () => undefined });
    }
    await kernel.start();
    kernels.push(kernel);
  }
  const rates: [number[], number[], number[]] = [[], [], []];
  const waits: [number[], number[], number[]] = [[], [], []];
  for (let run = 0; run <= runs; run++) {
    say(run === 0 ? 'warming up' : `${LISTENERS} listeners, run ${run} of ${runs}`);
    for (const which of [0, 1, 2] as const) {
      const kernel = kernels[which] as Kernel;
      const rate = await changesPerSecond(kernel, seconds);
      await pause(1_000);
      const wait = percentile(await deliveries(kernel), 50);
      if (run > 0) rates[which].push(rate);
      if (run > 0) waits[which].push(wait);
    }
  }
  const within = { target: { atLeast: 0.97 } };
  const more = waits[2].map((wait, n) => wait - (waits[0][n] ?? Number.NaN));
  return [
    { name: `changes, ${IN_FLIGHT} in flight, no listener`, unit: '/s', runs: rates[0] },
    { name: `changes, ${LISTENERS} listeners of which none match`, unit: '/s', runs: rates[1] },
    { name: `changes, ${LISTENERS} listeners of which ${MATCHING} match`, unit: '/s', runs: rates[2] },
    { name: 'with listeners that do not match / without', unit: '×', runs: ratios(rates[1], rates[0]), ...within },
    {
      name: `with ${MATCHING} effects for each change / without`,
      unit: '×',
      runs: ratios(rates[2], rates[0]),
      ...within,
    },
    { name: 'commit to delivery, no listener: p50', unit: 'ms', runs: waits[0] },
    { name: `the same with ${LISTENERS}, how much more`, unit: 'ms', runs: more, target: { atMost: 0.5 } },
  ];
}

async function changesPerSecond(kernel: Kernel, seconds: number): Promise<number> {
  const began = performance.now();
  let done = 0;
  const worker = async () => {
    while (performance.now() - began < seconds * 1000) await change(kernel, done++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return done / ((performance.now() - began) / 1000);
}

/** Milliseconds from commit until the tail has delivered, of changes one after the other. */
async function deliveries(kernel: Kernel): Promise<number[]> {
  const took: number[] = [];
  for (let n = 0; n < 100; n++) {
    const { tid } = await change(kernel, n);
    const committed = performance.now();
    await kernel.dispatcher.waitFor(tid as number);
    took.push(performance.now() - committed);
    await pause(10);
  }
  return took;
}

function change(kernel: Kernel, n: number) {
  return kernel.transaction({ author: 'bench' }, (tx) =>
    tx.save(task, 1 + ((n * 79) % TASKS), { title: `task ${n} ${Math.random()}` }),
  );
}

async function close(kernel: Kernel): Promise<void> {
  await kernel.stop();
  await kernel.database.close();
}
