import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Figure } from '../figures.ts';
import type { Options } from '../options.ts';
import { type Command, finished, tidemark } from './command.ts';
import type { Scenario } from './scenario.ts';

/** `tidemark import git` into an empty database, the start of the embedded server included. */
export const importGit: Scenario = {
  title: 'tidemark import git, commits per second',
  async run(options, say) {
    if (options.repository === undefined) throw new Error('import needs --repository PATH');
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
    try {
      const repository = unbundled(options.repository, folder);
      const commits = Number(git(repository, 'rev-list', '--first-parent', '--count', 'HEAD'));
      const rates: number[] = [];
      const peaks: number[] = [];
      const runs = options.runs ?? (options.quick ? 1 : 3);
      for (let run = 1; run <= runs; run++) {
        say(`run ${run} of ${runs}: ${commits.toLocaleString('en')} commits`);
        const { seconds, peak } = await importOnce(repository, join(folder, `data-${run}`), options);
        rates.push(commits / seconds);
        peaks.push(peak);
      }
      return figures(rates, peaks);
    } finally {
      await rm(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
    }
  },
};

function figures(rates: number[], peaks: number[]): Figure[] {
  return [
    { name: 'commits, start-up included', unit: '/s', runs: rates, target: { atLeast: 100 } },
    { name: 'peak memory of the importing process (RSS)', unit: 'MB', runs: peaks, target: { atMost: 300 } },
  ];
}

async function importOnce(
  repository: string,
  dataDir: string,
  { path, databaseUrl }: Options,
): Promise<{ seconds: number; peak: number }> {
  const env: Record<string, string> =
    databaseUrl === undefined ? { TIDEMARK_DATA_DIR: dataDir } : { DATABASE_URL: databaseUrl };
  const started = performance.now();
  const command = tidemark(['import', 'git', repository, ...(path === undefined ? [] : ['--path', path])], env);
  const peak = watchPeak(command);
  try {
    await finished(command);
    return { seconds: (performance.now() - started) / 1000, peak: peak.stop() };
  } finally {
    peak.stop();
    if (databaseUrl === undefined) await finished(tidemark(['db', 'stop'], env)).catch(() => undefined);
  }
}

/** Linux keeps the highest resident size of a process: the last look before its end is the peak. */
function watchPeak({ process: { pid } }: Command): { stop(): number } {
  let peak = 0;
  const look = () => {
    try {
      const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      peak = Math.max(peak, Number(kilobytes ?? 0) / 1000);
    } catch {
      // ended
    }
  };
  const timer = setInterval(look, 100);
  return {
    stop() {
      clearInterval(timer);
      return peak;
    },
  };
}

function unbundled(repository: string, folder: string): string {
  if (!repository.endsWith('.bundle')) return repository;
  const clone = join(folder, 'repository');
  execFileSync('git', ['clone', '--quiet', '--bare', repository, clone], { stdio: 'pipe' });
  return clone;
}

function git(repository: string, ...args: string[]): string {
  return execFileSync('git', ['-C', repository, ...args], { encoding: 'utf8', stdio: 'pipe' }).trim();
}
