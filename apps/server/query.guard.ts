import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import type { FastifyRequest } from 'fastify';
import { KernelError } from '#libs/database';
import { handlerTakes } from './handler-parameters.ts';
import { isPublic } from './permission.guard.ts';

/**
 * Refuses query parameters where a route takes none, as `invalid`: who deletes a page with ?version=3 means something else than to delete it.
 * What is public is left alone, because caches and probes add parameters of their own.
 */
@Injectable()
export class QueryGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const names = Object.keys(request.query as object);
    if (names.length === 0 || handlerTakes(context, RouteParamtypes.QUERY)) return true;
    if (isPublic(request.routeOptions.config)) return true;
    const errors = names.map((name) => ({ path: name, message: 'this route takes no query parameters' }));
    throw new KernelError('invalid', `this route takes no query parameters: ${names.join(', ')}`, { errors });
  }
}
