import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';

/** The repository that is measured. */
export const repositoryRoot = resolve(import.meta.dirname, '../../..');

export interface Command {
  readonly process: ChildProcess;
  /** What it has printed so far, both streams. */
  output(): string;
}

/** Starts a program in a process group of its own, with a clean environment and these variables. */
export function start(program: string, args: readonly string[], env: Record<string, string>): Command {
  const { PATH = '', HOME = '/' } = process.env;
  const child = spawn(program, args, {
    cwd: repositoryRoot,
    env: { PATH, HOME, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-20_000);
    });
  }
  return { process: child, output: () => output };
}

/** The command line of the program, without npm in between. */
export function tidemark(args: readonly string[], env: Record<string, string>): Command {
  return start(process.execPath, ['dist/apps/cli/main.js', ...args], env);
}

/** Waits for the end; throws with what it printed when that is a failure. */
export async function finished({ process: child, output }: Command): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  if (child.exitCode !== 0) throw new Error(`exit ${child.exitCode ?? child.signalCode}: ${output()}`);
}

/** Asks the whole process group to end, and waits. */
export async function terminate({ process: child }: Command): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, 'exit');
  process.kill(-child.pid, 'SIGTERM');
  await ended;
}
