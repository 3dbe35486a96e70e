import { isIP } from 'node:net';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type AccessOptions, authenticate, type Identity } from '#libs/access';
import { KernelError, type Queryable } from '#libs/database';
import type { Actor } from '#libs/journal';

/** Who an Authorization header stands for. Throws `unauthenticated`, with the reason, when there is none, or its token is not valid. */
export async function identify(
  db: Queryable,
  options: AccessOptions,
  authorization: string | undefined,
): Promise<Identity> {
  if (authorization === undefined) {
    throw new KernelError('unauthenticated', 'a token is needed: Authorization: Bearer <token>');
  }
  const [, token] = /^Bearer +([\x21-\x7e]+)$/i.exec(authorization) ?? [];
  if (token === undefined) {
    throw new KernelError('unauthenticated', 'the Authorization header is not of the form: Bearer <token>');
  }
  return authenticate(db, options, token);
}

interface Identified {
  readonly identity: Identity;
  again(): Promise<Identity>;
}

const identities = new WeakMap<object, Identified>();

/** Notes who makes a request, and how that is found out again, for one that goes on for long. */
export function setIdentity(request: FastifyRequest, identity: Identity, again: () => Promise<Identity>): void {
  identities.set(request, { identity, again });
}

export function findIdentity(request: FastifyRequest): Identity | undefined {
  return identities.get(request)?.identity;
}

/** Who makes a request that goes on, as of now. Throws `unauthenticated` when its token is not valid any more. */
export async function identifyAgain(request: FastifyRequest): Promise<Identity | undefined> {
  return identities.get(request)?.again();
}

/** Who makes the current request; undefined without a token. */
export const CurrentIdentity = createParamDecorator((_: unknown, context: ExecutionContext): Identity | undefined =>
  findIdentity(context.switchToHttp().getRequest<FastifyRequest>()),
);

/** The actor of a request, for the journal: the user of its token and its client address. */
export function actorOf(request: FastifyRequest): Actor {
  const identity = findIdentity(request);
  return {
    author: identity?.user ?? 'anonymous',
    authenticated: identity !== undefined,
    ipnr: clientAddress(request),
  };
}

/** The client's address; what a trusted proxy forwarded only if it is one. Null on a Unix socket. */
export function clientAddress(request: FastifyRequest): string | null {
  return plainAddress(request.ip) ?? plainAddress(request.socket.remoteAddress);
}

function plainAddress(text: string | undefined): string | null {
  const address = text?.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '') ?? '';
  return isIP(address) === 0 ? null : address;
}
