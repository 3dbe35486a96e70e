import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const PROGRAM = join(import.meta.dirname, '../cli/main.js');
const TOKEN = 'the-token-of-a-demonstration';

/** A `tidemark serve` in a process of its own, on the embedded PostgreSQL of a folder. */
export interface DemoServer {
  readonly url: string;
  /** Sends a request as the admin, and rejects unless it is answered by 2xx. */
  ask(method: string, path: string, options?: { body?: object; waitFor?: number }): Promise<DemoAnswer>;
  /** Finishes what it has begun, and ends. */
  stop(): Promise<void>;
}

export interface DemoAnswer {
  // biome-ignore lint/suspicious/noExplicitAny: the answers of routes that a demonstration knows
  readonly body: any;
  /** The tid of the change that the request has made. */
  readonly tid: number | null;
}

/** Starts a server on a free port. Rejects when it ends before it is ready; what it has to say of that, it says itself. */
export async function startDemoServer(folder: string): Promise<DemoServer> {
  const flags = ['--data-dir', folder, '--port', '0', '--log-level', 'warn', '--admin-token', TOKEN, '--json'];
  const child = spawn(process.execPath, [PROGRAM, 'serve', ...flags], {
    // its own folder and variables: no .env file and no DATABASE_URL of whoever runs this is meant
    ...{ cwd: folder, env: {} },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const [first] = (await Promise.race([
    once(child.stdout, 'data'),
    ended.then(() => Promise.reject(new Error('a server has ended before it was ready'))),
  ])) as [Buffer];
  const { url } = JSON.parse(first.toString()) as { url: string };
  return {
    url,
    ask: (method, path, options = {}) => ask(`${url}${path}`, method, options),
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function ask(
  url: string,
  method: string,
  { body, waitFor }: { body?: object; waitFor?: number },
): Promise<DemoAnswer> {
  const answer = await fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${TOKEN}`,
      ...(body && { 'content-type': 'application/json' }),
      ...(waitFor !== undefined && { 'tidemark-wait-for': String(waitFor), 'tidemark-wait-timeout': '30' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${text}`);
  const tid = answer.headers.get('tidemark-tid');
  return { body: JSON.parse(text), tid: tid === null ? null : Number(tid) };
}
