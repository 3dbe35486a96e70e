import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyRequest } from 'fastify';
import type { Permissions } from '#libs/access';
import { KernelError } from '#libs/database';
import type { Kernel } from '#libs/kernel';
import { Caller, setCaller } from './caller.ts';
import { findIdentity, identifyAgain } from './identity.ts';
import { KERNEL } from './tokens.ts';

interface Allowed {
  readonly resource: string;
  readonly actions: readonly string[];
}

/** What a route says of itself: that it is public, or what its caller needs. */
export interface RouteAccess {
  readonly public?: boolean;
  readonly allow?: Allowed;
}

/** Not journaled themselves, but judged by the projects of what they are about. */
const BY_PROJECT = new Set(['journal', 'consistency']);

/** Says which permission of the table a route needs; with several actions, all of them. */
export function Allow(resource: string, ...actions: [string, ...string[]]): MethodDecorator {
  return RouteConfig({ allow: { resource, actions } });
}

/** Whether a route's config says that it needs no token. */
export function isPublic(config: unknown): boolean {
  return (config as RouteAccess | undefined)?.public === true;
}

/** Throws `configuration` for a route that says neither that it is public nor what it needs, or needs what no table knows. */
export function checkRoute(permissions: Permissions, route: string, config: unknown): void {
  if (isPublic(config)) return;
  const allow = (config as RouteAccess | undefined)?.allow;
  if (allow === undefined) {
    throw new KernelError('configuration', `${route} says neither @Allow(resource, action) nor that it is public`);
  }
  const unknown = allow.actions.find((action) => permissions.least(allow.resource, action) === undefined);
  if (unknown === undefined) return;
  throw new KernelError(
    'configuration',
    `${route} needs ${allow.resource}:${unknown}, which the permission table lacks`,
  );
}

/**
 * Lets a request through to its route only if its caller has the permissions that the route needs: `forbidden` otherwise. Where rows belong
 * to projects, those in one project will do: which rows it is about is judged by whoever reads or locks them.
 */
@Injectable()
export class PermissionGuard implements CanActivate {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const { permissions, resources } = this.kernel;
    const identity = findIdentity(request);
    const { allow } = request.routeOptions.config as RouteAccess;
    for (const action of allow?.actions ?? []) {
      const { resource } = allow as Allowed;
      if (permissions.may(identity, resource, action)) continue;
      const byProject = BY_PROJECT.has(resource) || resources.get(resource)?.project !== undefined;
      if (byProject && permissions.mayAnywhere(identity, resource, action)) continue;
      throw permissions.refusal(identity, resource, action);
    }
    setCaller(request, new Caller(identity, permissions, resources, () => identifyAgain(request)));
    return true;
  }
}
