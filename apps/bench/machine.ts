import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { execute } from './server.ts';

const SETTINGS = ['fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'wal_level', 'max_connections'];

/** What a figure depends on besides the code. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memory: string;
  readonly kernel: string;
  readonly load: string;
  readonly node: string;
  readonly postgres: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly commit: string;
}

export async function describeMachine(databaseUrl: string): Promise<Machine> {
  const list = SETTINGS.map((name) => `'${name}'`).join(', ');
  const [version, settings] = await execute(
    databaseUrl,
    'SHOW server_version',
    `SELECT name, current_setting(name) AS value FROM pg_settings WHERE name IN (${list}) ORDER BY name`,
  );
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: release(),
    load: loadavg()
      .map((value) => value.toFixed(2))
      .join(' '),
    node: process.version,
    postgres: version?.rows[0].server_version,
    settings: Object.fromEntries(settings?.rows.map(({ name, value }) => [name, value]) ?? []),
    commit: commit(),
  };
}

function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8', stdio: 'pipe' }).trim();
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : ' with changes');
  } catch {
    return 'unknown';
  }
}
