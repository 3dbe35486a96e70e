import type { z } from 'zod';

/** A body that is not JSON. */
export interface Media {
  readonly type: string;
  readonly description: string;
  readonly example?: string;
}

/** What the OpenAPI document says of a route. The rest it sees for itself: path, method, query and body, permission, and what follows from them. */
export interface Description {
  readonly summary: string;
  readonly description?: string;
  /** What it answers when all goes well, by status; a schema names its example by `.meta({ examples })`. */
  readonly answers: Readonly<Record<number, z.ZodType | Media>>;
  /** What it answers instead to those who ask for that type. */
  readonly other?: Media;
  /** Statuses of problems that do not follow from the kind of route, such as 404. */
  readonly errors?: readonly number[];
  /** The parameters of its path. */
  readonly params?: Readonly<Record<string, z.ZodType>>;
  /** Its answer bears an ETag, on which reads and changes can be made conditional. */
  readonly versioned?: boolean;
  /** Headers of a request that are this route's own, with what they say. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A described method of a controller. */
export interface DescribedRoute extends Description {
  readonly operationId: string;
  readonly target: object;
  readonly key: string | symbol;
}

const routes: DescribedRoute[] = [];

/**
 * Describes a route for the OpenAPI document, under the name that generated clients give it. Only noted here: what turns it into a
 * document is loaded when somebody asks for one, as it would double the time that a server takes to start.
 */
export function Describe(operationId: string, description: Description): MethodDecorator {
  return (target, key) => {
    routes.push({ operationId, target, key, ...description });
  };
}

/** The routes that were described, in the order of their controllers and methods. */
export function describedRoutes(): readonly DescribedRoute[] {
  return routes;
}
