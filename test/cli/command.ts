import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { repositoryRoot } from '../support/repository-root.ts';

export interface Ended {
  /** The exit code, or the signal that ended it. */
  readonly end: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly process: ChildProcess;
  /** What it has printed so far. */
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly ended: Promise<Ended>;
}

export const mainFile = join(repositoryRoot(), 'dist/apps/cli/main.js');

/** Starts `tidemark` with arguments, in a folder without .env, with these variables and nothing of Tidemark's from the test run. */
export function startCommand(
  args: readonly string[],
  env: Record<string, string>,
  cwd: string,
  program = mainFile,
): Started {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, [program, ...args], { env: { PATH, HOME, ...env }, cwd, stdio: 'pipe' });
  let stdout = '';
  let stderr = '';
  child.stdin.end();
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ end: code ?? (signal as NodeJS.Signals), stdout, stderr }));
  });
  return { process: child, stdout: () => stdout, stderr: () => stderr, ended };
}

/** Runs `tidemark` to its end. */
export function command(args: readonly string[], env: Record<string, string>, cwd: string): Promise<Ended> {
  return startCommand(args, env, cwd).ended;
}
