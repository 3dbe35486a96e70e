import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Figure } from '../figures.ts';
import { type Command, finished, start, terminate, tidemark } from './command.ts';
import type { Scenario } from './scenario.ts';

const TOKEN = 'bench-admin-token-0123456789';

interface Started {
  readonly command: Command;
  readonly seconds: number;
}

/** `npm start` to the first answered request, on the embedded server, in fresh folders. */
export const startUp: Scenario = {
  title: 'npm start to the first served request, embedded server',
  async run(options, say) {
    const first: number[] = [];
    const joined: number[] = [];
    const later: number[] = [];
    const runs = options.runs ?? (options.quick ? 1 : 5);
    for (let run = 1; run <= runs; run++) {
      say(`run ${run} of ${runs}`);
      const times = await once();
      first.push(times.first);
      joined.push(times.joined);
      later.push(times.later);
    }
    return [
      { name: 'first start: new data folder', unit: 's', runs: first, target: { atMost: 3 } },
      { name: 'a second process joins', unit: 's', runs: joined, target: { atMost: 1.5 } },
      {
        name: 'later start: same folder, the database stopped before',
        unit: 's',
        runs: later,
        target: { atMost: 1.5 },
      },
    ] satisfies Figure[];
  },
};

async function once(): Promise<{ first: number; joined: number; later: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
  const running: Started[] = [];
  const serve = async () => {
    const started = await npmStart(join(folder, 'data'), await freePort());
    running.push(started);
    return started.seconds;
  };
  try {
    const first = await serve();
    const joined = await serve();
    for (const { command } of running.splice(0)) await terminate(command);
    await stopDatabase(folder);
    return { first, joined, later: await serve() };
  } finally {
    for (const { command } of running) await terminate(command);
    await stopDatabase(folder);
    await rm(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
  }
}

async function npmStart(dataDir: string, port: number): Promise<Started> {
  const began = performance.now();
  const command = start('npm', ['start'], {
    TIDEMARK_DATA_DIR: dataDir,
    TIDEMARK_ADMIN_TOKEN: TOKEN,
    LOG_LEVEL: 'warn',
    PORT: String(port),
  });
  const url = `http://127.0.0.1:${port}/wiki`;
  while (!(await isServed(url))) {
    const { exitCode, signalCode } = command.process;
    if (exitCode !== null || signalCode !== null || performance.now() - began > 30_000) {
      await terminate(command);
      throw new Error(`npm start did not serve a request: ${command.output()}`);
    }
    await pause(5);
  }
  return { command, seconds: (performance.now() - began) / 1000 };
}

/** A list of pages needs the database, the token and the cache: what answers it, serves. */
async function isServed(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } });
    await answer.text();
    return answer.status === 200;
  } catch {
    return false;
  }
}

async function stopDatabase(folder: string): Promise<void> {
  await finished(tidemark(['db', 'stop'], { TIDEMARK_DATA_DIR: join(folder, 'data') }));
}

async function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const server = createServer().listen(0, '127.0.0.1', () => {
    const address = server.address();
    server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
  });
  return promise;
}
