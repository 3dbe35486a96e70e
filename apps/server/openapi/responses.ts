import { z } from 'zod';
import type { DescribedRoute, Media } from './describe.ts';
import { type ResponseHeader, responseHeaders } from './headers.ts';
import { exampleOf, jsonSchema } from './json-schema.ts';
import { refusal } from './problem.answers.ts';
import type { RouteKind } from './route-kind.ts';

interface Response {
  readonly description: string;
  readonly headers?: object;
  readonly content?: object;
}

/** Every answer that a route may give, by status. */
export function responsesOf(route: DescribedRoute, kind: RouteKind): Record<number, Response> {
  const answers = Object.entries(route.answers).map(([status, answer]) => {
    const given = success(Number(status), answer, headersOf(Number(status), route, kind));
    return [status, route.other ? withOther(given, route.other) : given];
  });
  const problems = problemStatuses(route, kind).map((status) => [status, problemResponse(status)]);
  const unchanged = { description: 'It still stands at the ETag that was given', headers: responseHeaders(['ETag']) };
  const known = route.versioned && !kind.changes ? [[304, unchanged]] : [];
  const both = problems.map(([status, problem]) => [status, withAnswer(problem as Response, status, route, kind)]);
  return Object.fromEntries([...answers, ...known, ...both]);
}

/** A problem, and what the route answers itself under the same status. */
function withAnswer(problem: Response, status: unknown, route: DescribedRoute, kind: RouteKind): Response {
  const answer = route.answers[status as number];
  if (!answer) return problem;
  const own = success(status as number, answer, headersOf(status as number, route, kind));
  return { ...problem, content: { ...own.content, ...problem.content } };
}

/** The statuses of the problems that a route may answer: those of its kind, and those it names. */
function problemStatuses({ errors = [], versioned, params }: DescribedRoute, kind: RouteKind): number[] {
  const statuses = [
    ...[400, 417, 431, 500, 503, 504],
    ...(kind.public ? [] : [401]),
    ...(kind.permissions.length > 0 ? [403] : []),
    ...(kind.public && !params ? [] : [422]),
    ...(kind.hasBody ? [413] : []),
    ...(kind.changes ? [409, 413, 415] : []),
    ...(kind.changes && versioned ? [412] : []),
    ...errors,
  ];
  return [...new Set(statuses)].sort((a, b) => a - b);
}

function headersOf(status: number, { versioned }: DescribedRoute, kind: RouteKind): ResponseHeader[] {
  return [
    ...(kind.changes ? (['Tidemark-Tid', 'Idempotency-Replayed'] as const) : []),
    ...(versioned && !kind.deletes ? (['ETag'] as const) : []),
    ...(status === 201 ? (['Location'] as const) : []),
  ];
}

function success(status: number, answer: z.ZodType | Media, headers: ResponseHeader[]): Response {
  const told = headers.length > 0 ? { headers: responseHeaders(headers) } : {};
  if (!(answer instanceof z.ZodType)) {
    const { type, description, example } = answer;
    const content = { schema: { type: 'string' }, ...(example === undefined ? {} : { example }) };
    return { description, ...told, content: { [type]: content } };
  }
  const description = status === 201 ? 'Created' : (answer.description ?? 'Done');
  const { schema } = jsonSchema(answer, 'output');
  return { description, ...told, content: { 'application/json': { schema, example: exampleOf(answer) } } };
}

function withOther(given: Response, { type, description, example }: Media): Response {
  return { ...given, content: { ...given.content, [type]: { schema: { type: 'string', description }, example } } };
}

function problemResponse(status: number): Response {
  const { when, example } = refusal(status);
  const headers: ResponseHeader[] = status === 401 ? ['WWW-Authenticate'] : status === 412 ? ['ETag'] : [];
  const schema = { $ref: '#/components/schemas/Problem' };
  return {
    description: when,
    ...(headers.length > 0 ? { headers: responseHeaders(headers) } : {}),
    content: { 'application/problem+json': { schema, example } },
  };
}
