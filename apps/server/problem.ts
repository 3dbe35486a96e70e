import { STATUS_CODES } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, NotFoundException } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type ErrorCode, KernelError, translate } from '#libs/database';
import type { Log } from '#libs/dispatch';
import type { RouteTable } from './routes.ts';

/** RFC 9457, with a code that programs can rely on. */
export interface Problem {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly errors?: readonly { path: string; message: string }[];
}

const STATUS: Record<ErrorCode, number> = {
  malformed: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  stale: 412,
  too_large: 413,
  invalid: 422,
  unavailable: 503,
  not_caught_up: 504,
  configuration: 500,
};

// What only HTTP can refuse: a status that Fastify or Nest chose, by the code it is shown with.
const EDGE_CODES: Record<number, string> = {
  400: 'malformed',
  404: 'not_found',
  405: 'method_not_allowed',
  408: 'timeout',
  413: 'too_large',
  415: 'unsupported_media_type',
  417: 'expectation_failed',
  429: 'too_many',
  431: 'too_large',
};

// Where what Fastify or Nest would say is no sentence.
const SENTENCES: Record<number, string> = { 415: 'a body must be JSON: Content-Type: application/json' };

/** The problem a client is told of, whatever was thrown; undefined for what is nobody's business but the log's. */
export function problemOf(error: unknown): Problem | undefined {
  if (error instanceof HttpException)
    return edgeProblem(error.getStatus(), SENTENCES[error.getStatus()] ?? error.message);
  const known = translate(error);
  if (!(known instanceof KernelError) || STATUS[known.code] === 500) return undefined;
  return problem(STATUS[known.code], known.code, known.message, known.errors.length > 0 ? known.errors : undefined);
}

/** A problem that is about HTTP itself. */
export function edgeProblem(status: number, detail: string): Problem | undefined {
  const code = EDGE_CODES[status];
  return code === undefined ? undefined : problem(status, code, detail);
}

export function problem(status: number, code: string, detail: string, errors?: Problem['errors']): Problem {
  const title = STATUS_CODES[status] ?? 'Error';
  return { type: 'about:blank', title, status, detail, code, ...(errors ? { errors } : {}) };
}

export const INTERNAL = problem(500, 'internal', 'the server has failed; its log says more');

export function sendProblem(reply: FastifyReply, told: Problem): void {
  if (told.status === 401) reply.header('WWW-Authenticate', challenge(reply.request));
  reply.code(told.status).header('Content-Type', 'application/problem+json').send(JSON.stringify(told));
}

/** RFC 6750, section 3: what was wrong is told only to those who have tried. */
function challenge({ headers }: FastifyRequest): string {
  return `Bearer realm="tidemark"${headers.authorization === undefined ? '' : ', error="invalid_token"'}`;
}

/** Turns whatever a route or a hook throws into problem+json. Unknown errors are logged, and not told. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(
    private readonly log: Log,
    private readonly routes: RouteTable,
  ) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const told = this.#problem(thrown, request, reply);
    if (told === undefined) {
      this.log.error({ err: thrown, method: request.method, path: request.url }, 'a request has failed');
    }
    if (reply.sent) return;
    const { version } = thrown as { version?: unknown };
    if (told?.status === 412 && typeof version === 'string') reply.header('ETag', `"${version}"`);
    sendProblem(reply, told ?? INTERNAL);
  }

  #problem(thrown: unknown, request: FastifyRequest, reply: FastifyReply): Problem | undefined {
    // Our own code throws KernelError: this one says that no route fits.
    if (!(thrown instanceof NotFoundException)) return problemOf(thrown);
    const missing = this.routes.explain(request.method, request.url);
    if (missing.allowed) reply.header('Allow', missing.allowed.join(', '));
    return missing.problem;
  }
}
