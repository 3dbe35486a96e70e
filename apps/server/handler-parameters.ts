import type { ExecutionContext } from '@nestjs/common';
import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import type { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';

const known = new WeakMap<object, ReadonlySet<number>>();

/** Whether the handler of a request has a parameter of some kind: @Query(), @Body(). */
export function handlerTakes(context: ExecutionContext, kind: RouteParamtypes): boolean {
  const handler = context.getHandler();
  const kinds = known.get(handler) ?? parameterKinds(context.getClass(), handler.name);
  known.set(handler, kinds);
  return kinds.has(kind);
}

/**
 * Which kinds of parameters a method has, of Nest's own. Nest keys these `kind:index`, and those of createParamDecorator by a
 * random text, which may begin with a digit.
 */
export function parameterKinds(controller: object, method: string | symbol): ReadonlySet<number> {
  const parameters: object = Reflect.getMetadata(ROUTE_ARGS_METADATA, controller, method) ?? {};
  const kinds = Object.keys(parameters).flatMap((key) => /^(\d+):\d+$/.exec(key)?.[1] ?? []);
  return new Set(kinds.map(Number));
}
