import { once } from 'node:events';
import { waitUntil } from '../support/wait-until.ts';
import { type Started, startCommand } from './command.ts';

/** A server in a process of its own, which may be killed. */
export interface ServerProcess {
  readonly url: string;
  readonly started: Started;
}

/** Starts `tidemark serve` on a free port, and waits until it is ready. */
export async function serverProcess(env: Record<string, string>, folder: string): Promise<ServerProcess> {
  const started = startCommand(['serve', '--port', '0', '--log-level', 'error'], env, folder);
  await waitUntil(() => started.stdout().includes('ready on'), 'the server is ready', 60_000);
  return { started, url: /http:\/\/\S+/.exec(started.stdout())?.[0] as string };
}

/** Ends it by a signal, if it still lives, and waits until it is gone. */
export async function endProcess(
  { started: { process: child } }: ServerProcess,
  signal: NodeJS.Signals,
): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}
