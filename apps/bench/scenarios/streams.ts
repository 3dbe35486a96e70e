import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Figure, percentile } from '../figures.ts';
import { openProcess } from '../process.ts';
import { createJournaled, openServer } from '../server.ts';
import { type Command, terminate } from './command.ts';
import { serve, TOKEN } from './http.ts';
import type { Scenario } from './scenario.ts';
import { type Clock, writeSteadily } from './steady.ts';

const CLIENTS = 300;
const PER_SECOND = 50;

interface Noted {
  readonly tids: Float64Array;
  readonly times: Float64Array;
}

/** Event streams of one server: this process writes, another holds all the clients. */
export const streams: Scenario = {
  title: `commit in one process to ${CLIENTS} event-stream clients of another, ${PER_SECOND} changes/s`,
  async run(options, say) {
    const server = await openServer(options.databaseUrl);
    const closing: (() => Promise<unknown>)[] = [() => server.close()];
    try {
      const database = await createJournaled(server);
      const writer = await openProcess(database, { poolSize: 10 });
      closing.push(() => writer.database.close());
      await writer.start();
      closing.push(() => writer.stop());
      const { url, command } = await serve(database);
      closing.push(() => terminate(command));
      const clients = fork(join(import.meta.dirname, 'streams-clients.ts'), [url, TOKEN, String(CLIENTS)], {
        serialization: 'advanced',
      });
      closing.push(() => endClients(clients));
      await once(clients, 'message');

      const seconds = options.seconds ?? (options.quick ? 5 : 60);
      const runs = options.runs ?? (options.quick ? 1 : 3);
      say('warming up');
      await measure(writer, clients, 3);
      const measured: number[][] = [];
      const memory: number[] = [];
      for (let run = 1; run <= runs; run++) {
        say(`run ${run} of ${runs}: ${seconds} s`);
        measured.push(await measure(writer, clients, seconds));
        memory.push(peakMemory(command));
      }
      return figures(measured, memory);
    } finally {
      for (const close of closing.reverse()) await close();
    }
  },
};

function figures(measured: readonly number[][], memory: readonly number[]): Figure[] {
  const of = (percent: number) => measured.map((run) => percentile(run, percent));
  return [
    { name: `to one of ${CLIENTS} clients: p50`, unit: 'ms', runs: of(50) },
    { name: `to one of ${CLIENTS} clients: p99`, unit: 'ms', runs: of(99), target: { atMost: 100 } },
    { name: `to one of ${CLIENTS} clients: the slowest`, unit: 'ms', runs: of(100) },
    { name: 'memory of the server: highest so far', unit: 'MB', runs: memory, target: { atMost: 400 } },
  ];
}

/** Milliseconds from the return of each commit to each client; throws unless every client was told of every change once. */
async function measure(
  writer: Awaited<ReturnType<typeof openProcess>>,
  clients: ChildProcess,
  seconds: number,
): Promise<number[]> {
  const written = await writeSteadily(writer, { perSecond: PER_SECOND, seconds });
  const latencies: number[] = [];
  for (let tries = 0; latencies.length < written.size * CLIENTS; tries++) {
    if (tries === 200) throw new Error(`${latencies.length} of ${written.size * CLIENTS} events came within 10 s`);
    clients.send('collect');
    const [noted] = (await once(clients, 'message')) as [Noted];
    for (const latency of match(written, noted)) latencies.push(latency);
    await pause(50);
  }
  if (latencies.length > written.size * CLIENTS) throw new Error('a client was told of a change twice');
  return latencies;
}

function* match(written: ReadonlyMap<number, [Clock, Clock]>, { tids, times }: Noted): Generator<number> {
  for (const [n, tid] of tids.entries()) {
    const returned = written.get(tid)?.[1];
    if (returned !== undefined) yield Math.max(0, ((times[n] as number) - Number(returned)) / 1e6);
  }
}

/** The highest resident size of the process so far; NaN on other systems than Linux. */
function peakMemory({ process: { pid } }: Command): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
  } catch {
    return Number.NaN;
  }
}

async function endClients(clients: ChildProcess): Promise<void> {
  if (clients.exitCode !== null) return;
  const ended = once(clients, 'exit');
  if (clients.connected) clients.disconnect();
  await ended;
}
