import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { KernelError } from '#libs/database';

/** A git process whose output is read while it runs. */
export interface GitProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Resolves when git has ended well; rejects with what it said otherwise. */
  readonly ended: Promise<void>;
  /** Ends git, whatever it is doing; `ended` then resolves. */
  stop(): void;
}

/** Starts git on a repository, without a shell. */
export function startGit(repository: string, args: readonly string[]): GitProcess {
  const child = spawn('git', ['--literal-pathspecs', '-C', repository, ...args], { stdio: 'pipe' });
  // git may be gone before it has read what is written to it: `ended` tells
  child.stdin.on('error', () => {});
  let stopped = false;
  const ended = endOf(child, () => stopped);
  ended.catch(() => {});
  return {
    stdin: child.stdin,
    stdout: child.stdout,
    ended,
    stop() {
      stopped = true;
      child.kill();
      child.stdout.destroy();
    },
  };
}

/** Runs git to its end and returns what it printed, without the last newline. Throws `configuration` with git's own words. */
export async function runGit(repository: string, args: readonly string[]): Promise<string> {
  const { stdin, stdout, ended } = startGit(repository, args);
  stdin.end();
  const chunks: Buffer[] = [];
  for await (const chunk of stdout) chunks.push(chunk as Buffer);
  await ended;
  return Buffer.concat(chunks).toString('utf8').replace(/\n$/, '');
}

function endOf(child: ChildProcess, stopped: () => boolean): Promise<void> {
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk).slice(-4000);
  });
  return new Promise((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'ENOENT'
          ? new KernelError(
              'configuration',
              'git is needed to read the repository, and it is not installed or not on the PATH',
            )
          : error,
      ),
    );
    child.on('close', (code) => {
      if (code === 0 || stopped()) resolve();
      else
        reject(
          new KernelError(
            'configuration',
            said.trim().replace(/^(fatal|error): /, '') || `git ended with code ${code}`,
          ),
        );
    });
  });
}
