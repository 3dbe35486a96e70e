import { z } from 'zod';
import { type Problem, problem } from '../problem.ts';

/** RFC 9457, as every refusal is told. */
export const ProblemAnswer = z
  .object({
    type: z.literal('about:blank'),
    title: z.string(),
    status: z.int(),
    detail: z.string().meta({ description: 'A sentence for people' }),
    code: z.string().meta({ description: 'For programs: does not change' }),
    errors: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'Where the request is wrong, field by field' }),
  })
  .meta({ id: 'Problem', description: 'Why a request was refused (RFC 9457)' });

/** An example of a problem. */
interface Refusal extends Pick<Problem, 'code' | 'detail' | 'errors'> {
  /** When it comes. */
  readonly when: string;
}

const REFUSALS: Record<number, Refusal> = {
  400: {
    code: 'malformed',
    when: 'It cannot be read: JSON, a header, a cursor, a tid',
    detail: 'the body is empty: a JSON object is needed',
  },
  401: {
    code: 'unauthenticated',
    when: 'There is no token, or one that is unknown, revoked or expired',
    detail: 'a token is needed: Authorization: Bearer <token>',
  },
  403: { code: 'forbidden', when: "The token's user may not do that", detail: 'this needs the permission wiki:modify' },
  404: {
    code: 'not_found',
    when: 'There is no such thing, or none that you may see',
    detail: 'no page is named "Home"',
  },
  409: {
    code: 'conflict',
    when: 'Another change came in between, or a name is taken',
    detail: 'another change came in between: try again',
  },
  412: {
    code: 'stale',
    when: 'A condition does not hold: `ETag` is that of the version which stands',
    detail: 'page "Home" has changed: it is at version "7-3" now',
  },
  413: { code: 'too_large', when: 'The body is too large', detail: 'the text of a page must not exceed 5242880 bytes' },
  415: {
    code: 'unsupported_media_type',
    when: 'The body is not `application/json`',
    detail: 'a body must be JSON: Content-Type: application/json',
  },
  417: {
    code: 'expectation_failed',
    when: 'It expects what the server does not know',
    detail: 'the server cannot do this: Expect: miracles',
  },
  422: {
    code: 'invalid',
    when: 'It was understood and is wrong: `errors` says where',
    detail: 'limit: must be a whole number from 1 to 500',
    errors: [{ path: 'limit', message: 'must be a whole number from 1 to 500' }],
  },
  429: { code: 'too_many', when: 'Too many streams are open', detail: 'too many streams are open' },
  431: {
    code: 'too_large',
    when: 'The head of the request is too large',
    detail: 'the head of the request exceeds 16 KB',
  },
  500: { code: 'internal', when: 'The server has failed', detail: 'the server has failed; its log says more' },
  503: {
    code: 'unavailable',
    when: 'The database is away, or the server is shutting down. A change may have been made or not: repeat it with its Idempotency-Key',
    detail: 'the database is not reachable at the moment',
  },
  504: {
    code: 'not_caught_up',
    when: 'The tid of Tidemark-Wait-For was not applied in time',
    detail: 'this process has not applied tid 42 within 5000 ms',
  },
};

/** When a status comes, and a problem that is told with it. Throws for a status that none is told with. */
export function refusal(status: number): { when: string; example: Problem } {
  const found = REFUSALS[status];
  if (!found) throw new Error(`no problem is told with status ${status}`);
  const { code, when, detail, errors } = found;
  return { when, example: problem(status, code, detail, errors) };
}
