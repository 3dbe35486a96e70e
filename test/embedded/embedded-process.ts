import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Database } from '#libs/database';

/** What a process said of its joining. */
export interface Joined {
  readonly created: boolean;
  readonly url: string;
  readonly ownerUrl: string;
  readonly clusterDir: string;
  /** Of the KernelError, where it could not. */
  readonly code?: string;
  readonly message?: string;
}

/** Another process that uses the embedded database of a folder. */
export class EmbeddedProcess {
  static readonly #running = new Set<EmbeddedProcess>();
  readonly #child: ChildProcess;
  readonly joined: Promise<Joined>;

  constructor(dataDir: string, account: { uid?: number; gid?: number } = {}) {
    const program = join(import.meta.dirname, 'embedded-user.js');
    this.#child = spawn(process.execPath, [program, dataDir], {
      ...{ ...account, stdio: ['pipe', 'pipe', 'inherit'], env: { PATH: '/usr/bin:/bin' } },
    });
    EmbeddedProcess.#running.add(this);
    const lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream });
    this.joined = once(lines, 'line').then(([text]) => JSON.parse(text as string) as Joined);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Leaves in good order. */
  async leave(): Promise<void> {
    this.#child.stdin?.end();
    await this.#exited();
  }

  async kill9(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited();
  }

  static async killAll(): Promise<void> {
    await Promise.all([...EmbeddedProcess.#running].map((each) => each.kill9()));
  }

  async #exited(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
    EmbeddedProcess.#running.delete(this);
  }
}

/** Whether a process lives; one that nobody has waited for yet does not. */
export function lives(pid: number): boolean {
  const status = `/proc/${pid}/stat`;
  return existsSync(status) && !/\) Z /.test(readFileSync(status, 'utf8'));
}

/** The process that has started another. */
export function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** The process id of the PostgreSQL that runs in a cluster's folder, if there is one. */
export function postmaster(clusterDir: string): number | undefined {
  const file = join(clusterDir, 'data/postmaster.pid');
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
  return lives(pid) ? pid : undefined;
}

/** The supervisors that run on a cluster's folder. */
export function supervisors(clusterDir: string): number[] {
  return processes().filter((pid) => {
    const [, program = '', place] = commandOf(pid);
    return program.endsWith('embedded/supervisor.js') && place === clusterDir;
  });
}

/** Every process that has a cluster's folder among its arguments: PostgreSQL, its guard, its supervisor. */
export function processesOn(clusterDir: string): number[] {
  return processes().filter((pid) => commandOf(pid).some((word) => word.includes(clusterDir)));
}

function processes(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && lives(pid));
}

function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** Runs one statement on a connection of its own. */
export async function ask<R = Record<string, unknown>>(url: string, statement: string): Promise<R[]> {
  const database = Database.open({ url, poolSize: 1 });
  try {
    return (await database.query<R>(statement)).rows;
  } finally {
    await database.close();
  }
}

/** Whether a server takes a connection and answers. */
export function answers(url: string): Promise<boolean> {
  return ask(url, 'SELECT 1').then(
    () => true,
    () => false,
  );
}
