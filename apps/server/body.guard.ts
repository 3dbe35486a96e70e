import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import type { FastifyRequest } from 'fastify';
import { KernelError } from '#libs/database';
import { handlerTakes } from './handler-parameters.ts';

/** Refuses a request without a body, as `malformed`, where the route takes one. */
@Injectable()
export class BodyGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { body } = context.switchToHttp().getRequest<FastifyRequest>();
    if (body !== undefined || !handlerTakes(context, RouteParamtypes.BODY)) return true;
    throw new KernelError('malformed', 'the body is empty: a JSON object is needed');
  }
}
