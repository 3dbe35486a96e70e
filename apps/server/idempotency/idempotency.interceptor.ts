import { createHash } from 'node:crypto';
import { type CallHandler, type ExecutionContext, Inject, Injectable, type NestInterceptor } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { KernelError, type Queryable } from '#libs/database';
import type { Kernel } from '#libs/kernel';
import { actorOf } from '../identity.ts';
import { setWriter } from '../mutation.ts';
import { KERNEL } from '../tokens.ts';
import { findAnswer, lockKey, type StoredAnswer, storeAnswer } from './idempotency.queries.ts';

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);
const KEY = /^[\x21-\x7e]{1,255}$/;
const REPLAYED_HEADERS = ['Tidemark-Tid', 'ETag', 'Location'];

/**
 * Gives each mutation its Writer. With an Idempotency-Key it is an open transaction, into which the answer is stored before it commits: the
 * change and the answer that a repeated request gets are there together, or neither is. What is refused is not stored: it has changed
 * nothing, and may be asked again.
 */
@Injectable()
export class IdempotencyInterceptor implements NestInterceptor {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    if (SAFE.has(request.method)) return next.handle();
    const key = keyOf(request);
    if (key === undefined) {
      setWriter(request, this.kernel);
      return next.handle();
    }
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    return from(this.#once(key, request, reply, () => lastValueFrom(next.handle())));
  }

  async #once(key: string, request: FastifyRequest, reply: FastifyReply, run: () => Promise<unknown>): Promise<string> {
    const asked = { user_name: actorOf(request).author, request: fingerprint(request) };
    const answer = await this.kernel.atomic(async (writer) => {
      const stored = await claim(writer.database, key, asked);
      if (stored) {
        reply.code(stored.status).headers({ ...stored.headers, 'Idempotency-Replayed': 'true' });
        return stored;
      }
      setWriter(request, writer);
      const body = JSON.stringify(await run());
      const made = { ...asked, status: reply.statusCode, headers: headersOf(reply), body };
      await storeAnswer(writer.database, key, made);
      return made;
    });
    reply.header('Content-Type', 'application/json; charset=utf-8');
    return answer.body;
  }
}

/** Takes the key for this transaction: the answer that is stored under it, or undefined for the first to come. */
async function claim(
  tx: Queryable,
  key: string,
  asked: Pick<StoredAnswer, 'user_name' | 'request'>,
): Promise<StoredAnswer | undefined> {
  if (!(await lockKey(tx, key))) {
    throw new KernelError('conflict', 'a request with this Idempotency-Key is still running');
  }
  const stored = await findAnswer(tx, key);
  if (stored && !(stored.user_name === asked.user_name && stored.request.equals(asked.request))) {
    throw new KernelError('invalid', 'this Idempotency-Key was used for another request: take a new one');
  }
  return stored;
}

function keyOf(request: FastifyRequest): string | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || !KEY.test(key)) {
    throw new KernelError('malformed', 'Idempotency-Key must be 1 to 255 printable ASCII characters without blanks');
  }
  return key;
}

function fingerprint({ method, url, body }: FastifyRequest): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([method, url, body ?? null]))
    .digest();
}

function headersOf(reply: FastifyReply): Record<string, string> {
  return Object.fromEntries(
    REPLAYED_HEADERS.flatMap((name) => {
      const value = reply.getHeader(name);
      return value === undefined ? [] : [[name, String(value)]];
    }),
  );
}
