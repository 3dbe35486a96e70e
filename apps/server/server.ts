import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Log } from '#libs/dispatch';
import type { Config, Kernel } from '#libs/kernel';
import { interMap, pageNames, propagationListener, type Validating, type Workflow } from '#libs/resources';
import { fastifyAdapter } from './http.ts';
import { identify } from './identity.ts';
import { JournalStreams } from './journal/journal-streams.ts';
import { LIMITS, type Limits } from './limits.ts';
import { sendMail } from './mail/mail.ts';
import { ServerMetrics } from './metrics/server-metrics.ts';
import { NestLog } from './nest-log.ts';
import { ProblemFilter } from './problem.ts';
import { startPruners } from './pruners.ts';
import { RouteTable } from './routes.ts';
import { serverModule } from './server.module.ts';
import { validationPipe } from './validation.ts';
import { Webhooks } from './webhook/webhooks.ts';

export interface ServerOptions {
  /** Not started yet: the server adds its caches and starts it. */
  readonly kernel: Kernel;
  readonly config: Config;
  readonly log: Log;
  /** Of tickets, made by defineWorkflow(); Trac's when not given. */
  readonly workflow?: Workflow;
  readonly limits?: Partial<Limits>;
}

export interface Server {
  readonly url: string;
  /** What it serves, with the names of path parameters after a colon. */
  readonly routes: readonly { method: string; path: string }[];
  /** Takes no more requests, finishes those under way, tells event streams to come back, and stops the kernel. */
  close(): Promise<void>;
}

// Requests that are not done by then are cut off.
const CLOSE_TIMEOUT = 4_500;

/** Serves HTTP on the configured address. When it cannot be used, nothing stays behind. */
export async function startServer({ kernel, config, log, workflow, ...options }: ServerOptions): Promise<Server> {
  const limits: Limits = { ...LIMITS, ...options.limits };
  const routes = new RouteTable();
  const streams = new JournalStreams(kernel, log, limits);
  const metrics = new ServerMetrics(kernel, streams, limits);
  const names = kernel.dispatcher.cache(pageNames);
  const prefixes = kernel.dispatcher.cache(interMap);
  const validating: Validating = {
    ...{ database: kernel.database, rules: kernel.rules },
    validated: (by, seconds) => metrics.validated(by, seconds),
  };
  kernel.listen(propagationListener({ validating, waitFor: (tid, options) => kernel.waitFor(tid, options) }));
  const endMail = sendMail(kernel, config, log);
  const webhooks = new Webhooks(kernel, config);
  const adapter = fastifyAdapter({
    ...{ log, routes, limits, metrics },
    permissions: kernel.permissions,
    trustedProxies: config.trustedProxies,
    authenticate: (authorization) => identify(kernel.database, config, authorization),
    isClosing: () => streams.closing.aborted,
  });
  // Loaded when somebody asks for it: it would take a third as long again to start.
  const openApi = once(async (): Promise<string> => {
    const { openApiDocument } = await import('./openapi/document.ts');
    return JSON.stringify(openApiDocument(app));
  });
  const app: NestFastifyApplication = await NestFactory.create<NestFastifyApplication>(
    serverModule({
      kernel,
      validating,
      pageNames: names,
      interMap: prefixes,
      streams,
      metrics,
      webhooks,
      workflow,
      openApi,
    }),
    adapter,
    { logger: new NestLog(log), bodyParser: false, abortOnError: false },
  );
  app.useGlobalPipes(validationPipe());
  app.useGlobalFilters(new ProblemFilter(log, routes));

  try {
    await app.listen(config.port, config.host);
  } catch (error) {
    await app.close();
    await endMail();
    webhooks.close();
    throw error;
  }
  const endPruners = startPruners(kernel, config, log);
  const server = app.getHttpServer();
  const close = async () => {
    const cut = setTimeout(() => server.closeAllConnections(), CLOSE_TIMEOUT);
    await Promise.all([streams.close(), app.close(), endPruners()]);
    clearTimeout(cut);
    await endMail();
    webhooks.close();
  };
  return { url: urlOf(server.address() as AddressInfo), routes: routes.list(), close: once(close) };
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
