import { isIP } from 'node:net';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type AccessOptions, authenticate, type Identity } from '#libs/access';
import { KernelError, type Queryable } from '#libs/database';
import type { Actor } from '#libs/journal';

/** Who an Authorization header stands for. Throws `unauthenticated` when there is none, or none that is known. */
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
  const identity = await authenticate(db, options, token);
  if (!identity) throw new KernelError('unauthenticated', 'the token is unknown, revoked or expired');
  return identity;
}

const identities = new WeakMap<object, Identity>();

export function setIdentity(request: FastifyRequest, identity: Identity): void {
  identities.set(request, identity);
}

export function findIdentity(request: FastifyRequest): Identity | undefined {
  return identities.get(request);
}

/** Throws `forbidden` when the request's token does not carry a role. */
export function requireRole(request: FastifyRequest, role: string): void {
  if (!identities.get(request)?.roles.includes(role)) {
    throw new KernelError('forbidden', `this needs a token with the role ${role}`);
  }
}

/** The actor of a request, for the journal: the user of its token and its client address. */
export const CurrentActor = createParamDecorator((_: unknown, context: ExecutionContext): Actor => {
  const request = context.switchToHttp().getRequest<FastifyRequest>();
  const identity = identities.get(request);
  return {
    author: identity?.user ?? 'anonymous',
    authenticated: identity !== undefined,
    ipnr: clientAddress(request),
  };
});

/** The client's address; what a trusted proxy forwarded only if it is one. Null on a Unix socket. */
export function clientAddress(request: FastifyRequest): string | null {
  return plainAddress(request.ip) ?? plainAddress(request.socket.remoteAddress);
}

function plainAddress(text: string | undefined): string | null {
  const address = text?.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '') ?? '';
  return isIP(address) === 0 ? null : address;
}
