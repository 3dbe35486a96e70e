import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify';
import type { Identity } from '#libs/access';
import { KernelError } from '#libs/database';
import type { Log } from '#libs/dispatch';
import { clientAddress, findIdentity, setIdentity } from './identity.ts';
import { useJsonBodies } from './json-body.ts';
import { edgeProblem, INTERNAL, type Problem, problem, sendProblem } from './problem.ts';
import type { RouteTable } from './routes.ts';

export interface HttpOptions {
  readonly log: Log;
  readonly routes: RouteTable;
  readonly trustedProxies: readonly string[];
  /** Who an Authorization header stands for. Throws `unauthenticated`. */
  authenticate(authorization: string | undefined): Promise<Identity>;
  isClosing(): boolean;
}

// Names reach 2,000 bytes, each written as %XX; Node itself ends the head of a request at 16 KB.
const MAX_PARAM_LENGTH = 16_384;
const REQUEST_TIMEOUT = 120_000;

/** Fastify as this server needs it. Whatever it refuses by itself is told as a problem, too. */
export function fastifyAdapter(options: HttpOptions): FastifyAdapter {
  const serverOptions: FastifyServerOptions = {
    trustProxy: options.trustedProxies.length > 0 ? [...options.trustedProxies] : false,
    requestTimeout: REQUEST_TIMEOUT,
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors: (_error, request, reply) =>
      refuseUrl(options.log, request as FastifyRequest, reply as unknown as FastifyReply),
    clientErrorHandler: refuseBytes,
  };
  // no middleware, so none of Nest's support for it
  const adapter = new FastifyAdapter({ ...serverOptions, skipMiddie: true } as never) as FastifyAdapter;
  const fastify = adapter.getInstance() as unknown as FastifyInstance;
  useJsonBodies(fastify);
  fastify.addHook('onRoute', ({ url, method }) => options.routes.add(url, [method].flat()));
  addHooks(fastify, options);
  return adapter;
}

function addHooks(fastify: FastifyInstance, { log, authenticate, isClosing }: HttpOptions): void {
  // Before the body is read: a stranger's 30 MB are not worth it.
  fastify.addHook('onRequest', async (request) => {
    if (isClosing()) throw new KernelError('unavailable', 'the server is shutting down');
    if (request.is404 || isPublic(request)) return;
    setIdentity(request, await authenticate(request.headers.authorization));
  });
  fastify.addHook('onSend', async (_request, reply) => {
    if (isClosing()) reply.header('Connection', 'close');
  });
  fastify.addHook('onResponse', async (request, reply) => logRequest(log, request, reply));
}

function isPublic(request: FastifyRequest): boolean {
  return (request.routeOptions.config as { public?: boolean }).public === true;
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

function refuseUrl(log: Log, request: FastifyRequest, reply: FastifyReply): void {
  const message = 'the path is not valid percent-encoded UTF-8';
  sendProblem(reply, problem(400, 'malformed', message));
  logRequest(log, request, reply);
}

/** Answers what is no HTTP request at all. */
function refuseBytes(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const told = clientProblem(error.code) ?? INTERNAL;
  const body = JSON.stringify(told);
  socket.end(
    `HTTP/1.1 ${told.status} ${STATUS_CODES[told.status]}\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function clientProblem(code: string | undefined): Problem | undefined {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return edgeProblem(408, 'the request took too long to arrive');
    case 'HPE_HEADER_OVERFLOW':
      return edgeProblem(431, 'the head of the request exceeds 16 KB');
    default:
      return edgeProblem(400, 'this is not a valid HTTP request');
  }
}
