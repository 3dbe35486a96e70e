import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Log } from '#libs/dispatch';
import type { Config, Kernel } from '#libs/kernel';
import { pageNames } from '#libs/resources';
import { fastifyAdapter } from './http.ts';
import { identify } from './identity.ts';
import { JournalStreams } from './journal/journal-streams.ts';
import { NestLog } from './nest-log.ts';
import { ProblemFilter } from './problem.ts';
import { RouteTable } from './routes.ts';
import { serverModule } from './server.module.ts';
import { validationPipe } from './validation.ts';

export interface ServerOptions {
  /** Not started yet: the server adds its caches and starts it. */
  readonly kernel: Kernel;
  readonly config: Config;
  readonly log: Log;
}

export interface Server {
  readonly url: string;
  /** Takes no more requests, finishes those under way, tells event streams to come back, and stops the kernel. */
  close(): Promise<void>;
}

// Requests that are not done by then are cut off.
const CLOSE_TIMEOUT = 4_500;

/** Serves HTTP on the configured address. When it cannot be used, nothing stays behind. */
export async function startServer({ kernel, config, log }: ServerOptions): Promise<Server> {
  const routes = new RouteTable();
  const streams = new JournalStreams(kernel, log);
  const names = kernel.dispatcher.cache(pageNames);
  const adapter = fastifyAdapter({
    log,
    routes,
    trustedProxies: config.trustedProxies,
    authenticate: (authorization) => identify(kernel.database, config, authorization),
    isClosing: () => streams.closing.aborted,
  });
  const app = await NestFactory.create<NestFastifyApplication>(
    serverModule({ kernel, pageNames: names, streams }),
    adapter,
    { logger: new NestLog(log), bodyParser: false, abortOnError: false },
  );
  app.useGlobalPipes(validationPipe());
  app.useGlobalFilters(new ProblemFilter(log, routes));

  await kernel.start();
  try {
    await app.listen(config.port, config.host);
  } catch (error) {
    await Promise.all([app.close(), kernel.stop()]);
    throw error;
  }
  const server = app.getHttpServer();
  const close = async () => {
    const cut = setTimeout(() => server.closeAllConnections(), CLOSE_TIMEOUT);
    await Promise.all([streams.close(), app.close()]);
    clearTimeout(cut);
    await kernel.stop();
  };
  return { url: urlOf(server.address() as AddressInfo), close: once(close) };
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  return () => {
    running ??= work();
    return running;
  };
}
