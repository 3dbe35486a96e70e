import { once } from 'node:events';
import { pino } from 'pino';
import { KernelError } from '#libs/database';
import { type Config, loadConfig, type Opened, openKernel, readEnvironment } from '#libs/kernel';
import { projections, resources } from '#libs/resources';
import { EXIT } from '../exit-codes.ts';
import type { ReaderOptions } from '../open.ts';
import { print, printJson } from '../output.ts';
import type { Context } from '../program.ts';

/** `tidemark serve`: a server until SIGINT, SIGTERM or SIGHUP; requests under way are finished then. */
export async function serve(
  { interrupted }: Context,
  { json, ...flags }: ReaderOptions & Record<string, string>,
): Promise<number> {
  const config = loadConfig(readEnvironment(), flags);
  const log = pino({ level: config.logLevel });
  const stopping = stopSignal(interrupted);
  const [opened, { startServer }] = await Promise.all([
    openKernel(config, { resources, projections, log, name: 'tidemark' }),
    import('../../server/server.ts'),
  ]);
  try {
    await opened.plugins.addTo(opened.kernel, log);
    const server = await startServer({ kernel: opened.kernel, config, log }).catch((error: unknown) => {
      throw explain(error, config);
    });
    try {
      await (json ? printJson({ url: server.url }) : print(greeting(server.url, opened)));
      await stopping;
    } finally {
      await server.close();
    }
  } finally {
    await opened.close();
  }
  return interrupted.aborted ? EXIT.interrupted : EXIT.done;
}

/** Listened for from the beginning: a stop may come before the start is over. */
function stopSignal(interrupted: AbortSignal): Promise<unknown> {
  return Promise.race([
    once(process, 'SIGTERM'),
    once(process, 'SIGHUP'),
    new Promise((resolve) => interrupted.addEventListener('abort', resolve)),
  ]);
}

function greeting(url: string, { firstStart, adminToken, config }: Opened<unknown>): string {
  if (!firstStart || adminToken === undefined) return `Tidemark is ready on ${url}`;
  const authorization = `-H 'Authorization: Bearer ${adminToken}'`;
  return [
    `Tidemark is ready on ${url}`,
    '',
    `The admin token, also kept in ${config.dataDir}/admin-token:`,
    `  ${adminToken}`,
    '',
    'Put a page, and read it back:',
    `  curl -X PUT ${url}/wiki/Hello ${authorization} -H 'Content-Type: application/json' -d '{"text":"Hello, world!"}'`,
    `  curl ${url}/wiki/Hello ${authorization}`,
    '',
  ].join('\n');
}

function explain(error: unknown, { host, port }: Config): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const reason = LISTEN_PROBLEMS[code ?? ''];
  if (reason === undefined) return error;
  return new KernelError('configuration', `the server cannot listen on ${host}:${port}: ${reason}`, {
    cause: error,
  });
}

const LISTEN_PROBLEMS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use. Stop what uses it, or choose another one with --port.',
  EACCES: 'this user may not use that port. Choose one above 1023 with --port.',
  EADDRNOTAVAIL: 'this machine has no such address. Choose another one with --host.',
  ENOTFOUND: 'the host is not known. Choose another one with --host.',
};
