import { type CallHandler, type ExecutionContext, Inject, Injectable, type NestInterceptor } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { KernelError } from '#libs/database';
import type { Kernel } from '#libs/kernel';
import { projectionsRead } from './reads-projections.ts';
import { KERNEL } from './tokens.ts';

const DEFAULT_TIMEOUT = 5;
const MAX_TIMEOUT = 30;

/** Lets a request wait until this process, and the projections that its route reads, have applied the tid it names in Tidemark-Wait-For. */
@Injectable()
export class WaitForInterceptor implements NestInterceptor {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  async intercept(context: ExecutionContext, next: CallHandler) {
    const { headers } = context.switchToHttp().getRequest<FastifyRequest>();
    const timeout = timeoutOf(headers['tidemark-wait-timeout']);
    const tid = tidOf(headers['tidemark-wait-for']);
    if (tid !== undefined) {
      const projections = projectionsRead(context.getHandler(), context.getClass());
      await this.kernel.waitFor(tid, { projections, timeout });
    }
    return next.handle();
  }
}

function tidOf(header: string | string[] | undefined): number | undefined {
  if (header === undefined) return undefined;
  if (!/^\d{1,15}$/.test(String(header))) {
    throw new KernelError('malformed', 'Tidemark-Wait-For must be a tid, a whole number');
  }
  return Number(header);
}

function timeoutOf(header: string | string[] | undefined): number {
  if (header === undefined) return DEFAULT_TIMEOUT * 1000;
  if (!/^\d{1,3}(\.\d{1,3})?$/.test(String(header)) || Number(header) > MAX_TIMEOUT) {
    throw new KernelError('malformed', `Tidemark-Wait-Timeout must be seconds, at most ${MAX_TIMEOUT}`);
  }
  return Number(header) * 1000;
}
