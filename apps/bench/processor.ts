import { readFileSync } from 'node:fs';
import { execute } from './server.ts';

/**
 * Microseconds of processor time that this process and the sessions of a database have used so far; NaN where the server's
 * processes cannot be seen (another machine, another system than Linux). Sessions must not end between two calls.
 */
export async function processorTime(url: string): Promise<number> {
  const [sessions] = await execute(
    url,
    'SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
  );
  const { user, system } = process.cpuUsage();
  const pids = sessions?.rows.map((row) => row.pid as number) ?? [];
  return pids.map(sessionTime).reduce((sum, time) => sum + time, user + system);
}

function sessionTime(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000;
  } catch {
    return Number.NaN;
  }
}
