import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type Identity, type Permissions, Visibility } from '#libs/access';
import { KernelError } from '#libs/database';
import type { May, Resource } from '#libs/journal';

/** Who makes a request, with what it may do and see. Made by the guard, after it has let the request through. */
export class Caller {
  readonly identity: Identity | undefined;
  readonly may: May;
  readonly #permissions: Permissions;
  readonly #resources: ReadonlyMap<string, Resource>;
  #visibility: Visibility | undefined;

  readonly #again: () => Promise<Identity | undefined>;

  /** `again` finds out who the caller is once more, for a request that goes on for long. */
  constructor(
    identity: Identity | undefined,
    permissions: Permissions,
    resources: ReadonlyMap<string, Resource>,
    again: () => Promise<Identity | undefined>,
  ) {
    this.identity = identity;
    this.#again = again;
    this.may = (resource, action, project) => permissions.may(identity, resource, action, project);
    this.#permissions = permissions;
    this.#resources = resources;
  }

  /** Throws `forbidden` when the caller may not do something, everywhere or in a project. */
  check(resource: string, action: string, project?: string | null): void {
    this.#permissions.check(this.identity, resource, action, project);
  }

  /** What of the journal and its resources the caller may read. */
  get visibility(): Visibility {
    this.#visibility ??= new Visibility(this.identity, this.#permissions, this.#resources);
    return this.#visibility;
  }

  /**
   * Judges anew, each time that it is called, what the caller may read, for a request that goes on for long. Throws `unauthenticated` when the
   * token is not valid any more; what a database that is away has said before goes on to hold.
   */
  watch(): () => Promise<Visibility> {
    let known: { identity: Identity | undefined; visibility: Visibility } = this;
    return async () => {
      const identity = await this.#again().catch((error: unknown) => {
        if (error instanceof KernelError && error.code === 'unauthenticated') throw error;
        return known.identity;
      });
      if (identity !== known.identity) {
        known = { identity, visibility: new Visibility(identity, this.#permissions, this.#resources) };
      }
      return known.visibility;
    };
  }
}

const callers = new WeakMap<object, Caller>();

export function setCaller(request: FastifyRequest, caller: Caller): void {
  callers.set(request, caller);
}

/** The caller of a request that the guard has let through. */
export function callerOf(request: FastifyRequest): Caller {
  return callers.get(request) as Caller;
}

/** The caller of the current request. */
export const CurrentCaller = createParamDecorator(
  (_: unknown, context: ExecutionContext): Caller => callerOf(context.switchToHttp().getRequest<FastifyRequest>()),
);
