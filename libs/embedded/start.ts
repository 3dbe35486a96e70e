import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Outcome } from './protocol.ts';

/** A log that is longer than this is set aside at the next start. */
const LONGEST_LOG = 10_000_000;
/** No start takes longer, so a mark that is older was left by one that was killed. */
const LONGEST_START = 50_000;

/**
 * Starts a supervisor that outlives this process, and waits for what it says of its start. Undefined when another process is doing so:
 * a courtesy that saves work, and no lock, for PostgreSQL itself lets only one in.
 */
export async function startSupervisor(place: string): Promise<Outcome | undefined> {
  const mark = join(place, 'starting');
  if (!setMark(mark)) return undefined;
  try {
    return await launch(place);
  } finally {
    rmSync(mark, { force: true });
  }
}

async function launch(place: string): Promise<Outcome> {
  const logFile = join(place, 'postgres.log');
  const log = openLog(logFile);
  const program = [join(import.meta.dirname, 'supervisor.js'), place];
  const child = spawn(process.execPath, program, {
    ...{ cwd: '/', detached: true, stdio: ['ignore', log, log, 'pipe'] },
  });
  closeSync(log);
  child.unref();
  child.on('error', () => undefined);
  let answer = '';
  for await (const text of (child.stdio[3] as Socket).setEncoding('utf8')) {
    answer += text;
    if (answer.includes('\n')) return JSON.parse(answer) as Outcome;
  }
  return { error: `the embedded database's supervisor ended at once: see ${logFile}` };
}

function setMark(mark: string): boolean {
  try {
    writeFileSync(mark, `${process.pid}`, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (isStale(mark)) rmSync(mark, { force: true });
    return false;
  }
}

function isStale(mark: string): boolean {
  try {
    const pid = Number(readFileSync(mark, 'utf8'));
    // 0: it is just being written
    if (pid > 0) process.kill(pid, 0);
    return Date.now() - statSync(mark).mtimeMs > LONGEST_START;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

function openLog(path: string): number {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LONGEST_LOG) renameSync(path, `${path}.1`);
  return openSync(path, 'a', 0o600);
}
