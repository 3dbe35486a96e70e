import type { Server } from 'node:http';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyHttpOptions, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Identity, Permissions } from '#libs/access';
import { KernelError } from '#libs/database';
import type { Log } from '#libs/dispatch';
import { ClientErrors } from './client-errors.ts';
import { parseEntityTags } from './entity-tags.ts';
import { clientAddress, findIdentity, setIdentity } from './identity.ts';
import { useJsonBodies } from './json-body.ts';
import type { Limits } from './limits.ts';
import type { ServerMetrics } from './metrics/server-metrics.ts';
import { checkRoute, isPublic } from './permission.guard.ts';
import { problem, sendProblem } from './problem.ts';
import type { RouteTable } from './routes.ts';

export interface HttpOptions {
  readonly log: Log;
  readonly routes: RouteTable;
  readonly permissions: Permissions;
  readonly limits: Limits;
  readonly metrics: Pick<ServerMetrics, 'answered' | 'refused'>;
  readonly trustedProxies: readonly string[];
  /** Who an Authorization header stands for. Throws `unauthenticated`. */
  authenticate(authorization: string | undefined): Promise<Identity>;
  isClosing(): boolean;
}

// Names reach 2,000 bytes, each written as %XX; Node itself ends the head of a request at 16 KB.
const MAX_PARAM_LENGTH = 16_384;
// How often connections are looked at that may have taken too long.
const CHECKING = 1_000;

/** Fastify as this server needs it. Whatever it refuses by itself is told as a problem, too. */
export function fastifyAdapter(options: HttpOptions): FastifyAdapter {
  const clientErrors = new ClientErrors((status, address) => {
    options.metrics.refused(status);
    options.log.info({ status, ipnr: address ?? null }, 'what came was no request');
  });
  const serverOptions: FastifyHttpOptions<Server> = {
    trustProxy: options.trustedProxies.length > 0 ? [...options.trustedProxies] : false,
    http: { headersTimeout: options.limits.head, connectionsCheckingInterval: CHECKING, requireHostHeader: false },
    requestTimeout: options.limits.request,
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors: (_error, request, reply) =>
      refuseUrl(options, request as FastifyRequest, reply as unknown as FastifyReply),
    clientErrorHandler: (error, socket) => clientErrors.refuse(error, socket),
  };
  // no middleware, so none of Nest's support for it
  const adapter = new FastifyAdapter({ ...serverOptions, skipMiddie: true } as never) as FastifyAdapter;
  const fastify = adapter.getInstance() as unknown as FastifyInstance;
  clientErrors.watch(fastify.server);
  // Node would drop headers beyond the 2,000th without a word; their bytes are limited anyway
  fastify.server.maxHeadersCount = 0;
  useJsonBodies(fastify);
  fastify.addHook('onRoute', ({ url, method, config }) => {
    checkRoute(options.permissions, `${method} ${url}`, config);
    options.routes.add(url, [method].flat());
  });
  addHooks(fastify, options);
  return adapter;
}

function addHooks(fastify: FastifyInstance, options: HttpOptions): void {
  const { authenticate, isClosing } = options;
  // Before the body is read: a stranger's 30 MB are not worth it.
  fastify.addHook('onRequest', async (request) => {
    if (isClosing()) throw new KernelError('unavailable', 'the server is shutting down');
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1') {
      throw new KernelError('malformed', 'an HTTP/1.1 request needs a Host header');
    }
    if (request.is404 || isPublic(request.routeOptions.config)) return;
    const identify = () => authenticate(request.headers.authorization);
    setIdentity(request, await identify(), identify);
  });
  fastify.addHook('onSend', async (request, reply, payload) => {
    if (isClosing()) reply.header('Connection', 'close');
    return isKnown(request, reply) ? withoutBody(reply) : payload;
  });
  fastify.addHook('onResponse', async (request, reply) => answered(options, request, reply));
}

/** Whether the client has the representation that it is about to be sent (RFC 9110, section 13.1.2). */
function isKnown({ method, headers }: FastifyRequest, reply: FastifyReply): boolean {
  const etag = reply.getHeader('ETag');
  const known = headers['if-none-match'];
  if (typeof etag !== 'string' || known === undefined || reply.statusCode !== 200) return false;
  return (method === 'GET' || method === 'HEAD') && (known.trim() === '*' || parseEntityTags(known).includes(etag));
}

function withoutBody(reply: FastifyReply): null {
  reply.code(304).removeHeader('Content-Type').removeHeader('Content-Length');
  return null;
}

function answered({ log, metrics }: HttpOptions, request: FastifyRequest, reply: FastifyReply): void {
  metrics.answered(request, reply);
  logRequest(log, request, reply);
}

function logRequest(log: Log, request: FastifyRequest, reply: FastifyReply): void {
  const tid = reply.getHeader('Tidemark-Tid');
  const line = {
    method: request.method,
    path: request.url,
    status: reply.statusCode,
    ms: Math.round(reply.elapsedTime * 10) / 10,
    user: findIdentity(request)?.user ?? null,
    ipnr: clientAddress(request),
    ...(tid === undefined ? {} : { tid: Number(tid) }),
  };
  if (reply.statusCode >= 500) log.warn(line, 'request');
  else log.info(line, 'request');
}

function refuseUrl(options: HttpOptions, request: FastifyRequest, reply: FastifyReply): void {
  const message = 'the path is not valid percent-encoded UTF-8';
  sendProblem(reply, problem(400, 'malformed', message));
  answered(options, request, reply);
}
