import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { type Figure, percentile, ratios } from '../figures.ts';
import { openProcess } from '../process.ts';
import { createJournaled, execute, openServer } from '../server.ts';
import type { Scenario } from './scenario.ts';
import { type Clock, writeSteadily } from './steady.ts';

const PER_SECOND = 200;
const PHASES = ['quiet', 'open write in the same database', 'open write in another database'] as const;

type Kernel = Awaited<ReturnType<typeof openProcess>>;

/** Milliseconds of one phase: from the call of commit, and from its return, to the listener's call in the other process. */
interface Measured {
  readonly fromCall: number[];
  readonly fromReturn: number[];
}

/** From commit in one process to `onSecondary` in another, also while an unrelated write transaction stays open. */
export const latency: Scenario = {
  title: `commit in one process to onSecondary in another, ${PER_SECOND} changes/s`,
  async run(options, say) {
    const server = await openServer(options.databaseUrl);
    const closing: (() => Promise<unknown>)[] = [() => server.close()];
    try {
      const url = await createJournaled(server);
      const elsewhere = await server.createDatabase();
      for (const database of [url, elsewhere]) await execute(database, 'CREATE TABLE unrelated (value integer)');
      const kernel = await openProcess(url, { poolSize: 10 });
      closing.push(() => kernel.database.close());
      await kernel.start();
      closing.push(() => kernel.stop());
      const listener = fork(join(import.meta.dirname, 'latency-listener.ts'), [url], {
        serialization: 'advanced',
      });
      closing.push(() => endListener(listener));
      await once(listener, 'message');

      const seconds = options.seconds ?? (options.quick ? 5 : 60);
      const runs = options.runs ?? (options.quick ? 1 : 3);
      say('warming up');
      await phase(kernel, listener, undefined, 3);
      const measured: Measured[][] = PHASES.map(() => []);
      for (let run = 1; run <= runs; run++) {
        for (const [n, unrelated] of [undefined, url, elsewhere].entries()) {
          say(`run ${run} of ${runs}: ${PHASES[n]}, ${seconds} s`);
          measured[n]?.push(await phase(kernel, listener, unrelated, seconds));
        }
      }
      return figures(measured);
    } finally {
      for (const close of closing.reverse()) await close();
    }
  },
};

function figures(measured: readonly Measured[][]): Figure[] {
  const of = (phase: number, since: keyof Measured, percent: number) =>
    (measured[phase] ?? []).map((run) => percentile(run[since], percent));
  const all = PHASES.flatMap((name, phase): Figure[] => [
    { name: `${name}: p50`, unit: 'ms', runs: of(phase, 'fromReturn', 50), ...atMost(phase === 0, 3) },
    { name: `${name}: p99`, unit: 'ms', runs: of(phase, 'fromReturn', 99), ...atMost(phase === 0, 15) },
    { name: `${name}: p50 with the commit itself`, unit: 'ms', runs: of(phase, 'fromCall', 50) },
    { name: `${name}: p99 with the commit itself`, unit: 'ms', runs: of(phase, 'fromCall', 99) },
  ]);
  const compared = [1, 2].flatMap((phase) =>
    [50, 99].map((percent): Figure => {
      const runs = ratios(of(phase, 'fromCall', percent), of(0, 'fromCall', percent));
      return { name: `${PHASES[phase]} / quiet: p${percent}`, unit: '×', runs, target: { atMost: 2 } };
    }),
  );
  return [...all, ...compared];
}

function atMost(promised: boolean, milliseconds: number): { target?: { atMost: number } } {
  return promised ? { target: { atMost: milliseconds } } : {};
}

/** Writes at a fixed rate, whatever the answers take, and matches what the other process noted. */
async function phase(
  kernel: Kernel,
  listener: ChildProcess,
  unrelated: string | undefined,
  seconds: number,
): Promise<Measured> {
  const release = unrelated === undefined ? undefined : await holdOpenWrite(unrelated);
  try {
    const written = await writeSteadily(kernel, { perSecond: PER_SECOND, seconds });
    return match(written, await collect(listener, written));
  } finally {
    await release?.();
  }
}

async function holdOpenWrite(url: string): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('BEGIN');
  await client.query('INSERT INTO unrelated VALUES (1)');
  return async () => {
    await client.query('ROLLBACK');
    await client.end();
  };
}

/** Asks the other process until it has been told of every change. */
async function collect(listener: ChildProcess, written: ReadonlyMap<number, unknown>): Promise<Map<number, Clock>> {
  const told = new Map<number, Clock>();
  for (let tries = 0; tries < 200; tries++) {
    listener.send('collect');
    const [batch] = (await once(listener, 'message')) as [[number, Clock][]];
    for (const [tid, at] of batch) told.set(tid, at);
    if (written.keys().every((tid) => told.has(tid))) return told;
    await pause(50);
  }
  throw new Error(`the other process was told of ${told.size} of ${written.size} changes within 10 s`);
}

function match(written: ReadonlyMap<number, [Clock, Clock]>, told: ReadonlyMap<number, Clock>): Measured {
  const since = (end: 0 | 1) =>
    [...written].map(([tid, times]) => Math.max(0, Number((told.get(tid) as Clock) - times[end]) / 1e6));
  return { fromCall: since(0), fromReturn: since(1) };
}

async function endListener(listener: ChildProcess): Promise<void> {
  if (listener.exitCode !== null) return;
  const ended = once(listener, 'exit');
  if (listener.connected) listener.disconnect();
  await ended;
}
