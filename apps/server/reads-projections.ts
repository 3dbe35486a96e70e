import 'reflect-metadata';
import type { Projection } from '#libs/projection';

const READS = Symbol('projections that a route reads');

/** Says which projections a route, or every route of a controller, reads: with Tidemark-Wait-For it waits until these reflect the tid, too. */
export function ReadsProjections(...projections: [Projection, ...Projection[]]): MethodDecorator & ClassDecorator {
  const names = projections.map(({ name }) => name);
  return (target: object, _key?: string | symbol, method?: PropertyDescriptor) =>
    Reflect.defineMetadata(READS, names, (method?.value as object | undefined) ?? target);
}

/** The names of the projections that a route reads. */
export function projectionsRead(handler: object, controller: object): readonly string[] {
  return [handler, controller].flatMap((one) => (Reflect.getMetadata(READS, one) as string[] | undefined) ?? []);
}
