import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { startCommand } from '../cli/command.ts';
import { repositoryRoot } from '../support/repository-root.ts';
import { waitUntil } from '../support/wait-until.ts';

export const EXAMPLE = join(repositoryRoot(), 'test/plugins/ticket-poster');
export const TOKEN = 'a-token-for-plugins';

/** A folder outside the repository, with files or a copy of another folder. */
export function pluginFolder(files: Record<string, string> | string): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'tidemark-plugin-')));
  if (typeof files === 'string') cpSync(files, folder, { recursive: true });
  else for (const [name, text] of Object.entries(files)) addFile(folder, name, text);
  return folder;
}

export function addFile(folder: string, name: string, text: string): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), text);
}

export interface ServedPlugins {
  readonly url: string;
  readonly stdout: () => string;
  ask(method: string, path: string, body?: unknown, token?: string): Promise<{ status: number; body: unknown }>;
  stop(): Promise<void>;
}

/** `tidemark serve` in a folder, until it is ready. */
export async function servePlugins(folder: string, env: Record<string, string>): Promise<ServedPlugins> {
  const started = startCommand(['serve', '--port', '0'], { TIDEMARK_ADMIN_TOKEN: TOKEN, ...env }, folder);
  let over = false;
  void started.ended.then(() => {
    over = true;
  });
  await waitUntil(() => over || started.stdout().includes('ready on'), 'the server is ready', 60_000);
  const [url] = /http:\/\/\S+/.exec(started.stdout().replace(/^\{.*$/gm, '')) ?? [];
  if (url === undefined) throw new Error(`the server did not start: ${started.stderr()}`);
  return {
    url,
    stdout: started.stdout,
    async ask(method, path, body, token = TOKEN) {
      const answer = await fetch(`${url}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) };
    },
    async stop() {
      started.process.kill('SIGTERM');
      const { end, stderr } = await started.ended;
      if (end !== 0) throw new Error(`the server ended with ${end}: ${stderr}`);
    },
  };
}

export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
}

export interface Receiver {
  readonly url: string;
  readonly received: Received[];
  /** How the next requests are answered; 204 when none is left. */
  readonly answers: number[];
  close(): void;
}

/** An HTTP endpoint that keeps what is posted to it. */
export async function receiver(): Promise<Receiver> {
  const received: Received[] = [];
  const answers: number[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => {
      text += chunk;
    });
    request.on('end', () => {
      received.push({ headers: request.headers, body: JSON.parse(text) });
      response.writeHead(answers.shift() ?? 204).end();
    });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/tickets`, received, answers, close };
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true });
}
