import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import { FASTIFY_ROUTE_CONFIG_METADATA } from '@nestjs/platform-fastify/constants.js';
import { parameterKinds } from '../handler-parameters.ts';
import type { RouteAccess } from '../permission.guard.ts';
import type { DescribedRoute } from './describe.ts';

/** What a route's decorators say of it, beside its description. */
export interface RouteKind {
  readonly changes: boolean;
  readonly deletes: boolean;
  readonly public: boolean;
  readonly hasBody: boolean;
  /** As `resource:action`. */
  readonly permissions: readonly string[];
}

/** Reads what a route is from what Nest and the permission guard know of it. */
export function routeKind({ target, key }: DescribedRoute): RouteKind {
  const method = (target as Record<string | symbol, object>)[key] as object;
  const config: RouteAccess = Reflect.getMetadata(FASTIFY_ROUTE_CONFIG_METADATA, method) ?? {};
  const verb: RequestMethod = Reflect.getMetadata(METHOD_METADATA, method);
  return {
    changes: verb !== RequestMethod.GET,
    deletes: verb === RequestMethod.DELETE,
    public: config.public === true,
    hasBody: parameterKinds(target.constructor, key).has(RouteParamtypes.BODY),
    permissions: config.allow?.actions.map((action) => `${config.allow?.resource}:${action}`) ?? [],
  };
}
