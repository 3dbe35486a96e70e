import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Actor, type Condition, type May, versionTag, type Writer } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import { callerOf } from './caller.ts';
import { conditionOf } from './entity-tags.ts';
import { actorOf } from './identity.ts';

/** A change that a request makes: where it is written, who makes it, and what it depends on. */
export interface Mutation {
  readonly writer: Writer;
  readonly actor: Actor;
  readonly condition?: Condition;
  /** What its caller may do beyond what the route needed, and in which projects. */
  readonly may: May;
}

const writers = new WeakMap<object, Writer>();

/** Lets what a request changes be written there. */
export function setWriter(request: FastifyRequest, writer: Writer): void {
  writers.set(request, writer);
}

/** The change that the current request makes. Throws `malformed` for preconditions that are none. */
export const CurrentMutation = createParamDecorator((_: unknown, context: ExecutionContext): Mutation => {
  const request = context.switchToHttp().getRequest<FastifyRequest>();
  const condition = conditionOf(request.headers);
  const writer = writers.get(request) as Writer;
  const { may } = callerOf(request);
  return { writer, actor: actorOf(request), may, ...(condition === undefined ? {} : { condition }) };
});

/** Does what belongs together in the transaction that a mutation has open, or in one of its own. */
export function inTransaction<T>(kernel: Kernel, { writer }: Mutation, work: (tx: Writer) => Promise<T>): Promise<T> {
  return writer.open ? work(writer) : kernel.atomic(work);
}

/** Tells a change's tid and the tag of the version that an answer shows. */
export function tell(reply: FastifyReply, { tid, tag }: { tid?: number | null; tag?: string }): void {
  if (typeof tid === 'number') reply.header('Tidemark-Tid', tid);
  if (tag !== undefined) reply.header('ETag', `"${tag}"`);
}

/** Answers with a row, its tag and the tid of the change. */
export function show<T extends { readonly id: string; readonly row_version: number }>(
  reply: FastifyReply,
  row: T,
  tid: number | null = null,
): Omit<T, 'row_version'> {
  tell(reply, { tid, tag: versionTag(row) });
  return withoutRowVersion(row);
}

/** A row as it is answered: its version stands in its tag. */
export function withoutRowVersion<T extends { readonly row_version: number }>({
  row_version: _,
  ...row
}: T): Omit<T, 'row_version'> {
  return row;
}
