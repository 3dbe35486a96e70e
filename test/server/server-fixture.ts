import { Database } from '#libs/database';
import type { Log } from '#libs/dispatch';
import type { Resource } from '#libs/journal';
import { createKernel, type Kernel, type KernelOptions, loadConfig } from '#libs/kernel';
import { projections, resources, type Workflow } from '#libs/resources';
import type { Limits } from '../../apps/server/limits.ts';
import { startServer } from '../../apps/server/server.ts';

export const TOKEN = 'a-token-for-tests';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly about: Record<string, unknown>;
  readonly message: string;
}

/** A response whose JSON a test may look into. */
// biome-ignore lint/suspicious/noExplicitAny: a test states by its expectations what is in it
export type Answer = Omit<Response, 'json'> & { json(): Promise<any> };

export interface TestServer {
  readonly url: string;
  readonly routes: readonly { method: string; path: string }[];
  readonly kernel: Kernel;
  readonly database: Database;
  readonly lines: LogLine[];
  /** fetch() with the token. */
  ask(path: string, init?: RequestInit): Promise<Answer>;
  send(method: string, path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>;
  put(name: string, text: string): Promise<Answer>;
  close(): Promise<void>;
}

interface ServerOptions
  extends Pick<
    KernelOptions<unknown>,
    'permissions' | 'projections' | 'consistencyRules' | 'checks' | 'checkRowsPerSecond'
  > {
  readonly resources?: readonly Resource[];
  readonly limits?: Partial<Limits>;
  readonly workflow?: Workflow;
  /** Before the server starts it. */
  prepare?(kernel: Kernel): void;
}

/** A server of its own on a free port, over a database that stands. */
export async function testServer(
  url: string,
  env: Record<string, string> = {},
  { limits = {}, workflow, prepare, ...more }: ServerOptions = {},
): Promise<TestServer> {
  const lines: LogLine[] = [];
  const log = recorder(lines);
  const config = loadConfig({ TIDEMARK_ADMIN_TOKEN: TOKEN, PORT: '0', ...env });
  const database = Database.open({ url, onError: () => undefined });
  const kernel = createKernel({
    ...{ database, log, ...more },
    resources: [...resources, ...(more.resources ?? [])],
    projections: [...projections, ...(more.projections ?? [])],
  });
  prepare?.(kernel);
  const options = { limits, ...(workflow && { workflow }) };
  const server = await startServer({ kernel, config, log, ...options }).catch(async (error) => {
    await database.close();
    throw error;
  });
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(`${server.url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${TOKEN}`, ...init.headers },
    });
  const send = (method: string, path: string, body: unknown, headers: Record<string, string> = {}) =>
    ask(path, {
      method,
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    });
  return {
    ...{ url: server.url, routes: server.routes, kernel, database, lines, ask, send },
    put: (name, text) => send('PUT', `/wiki/${encodeURIComponent(name)}`, { text }),
    async close() {
      await server.close();
      await database.close();
    },
  };
}

function recorder(lines: LogLine[]): Log {
  const at = (level: LogLine['level']) => (about: object, message: string) => {
    lines.push({ level, about: about as Record<string, unknown>, message });
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
