import { type Problem, problem } from './problem.ts';

/** The routes of the server, to say why none of them fits a request. */
export class RouteTable {
  readonly #routes = new Map<string, { pattern: RegExp; methods: Set<string> }>();

  add(path: string, methods: readonly string[]): void {
    const route = this.#routes.get(path) ?? { pattern: patternOf(path), methods: new Set() };
    for (const method of methods) route.methods.add(method);
    this.#routes.set(path, route);
  }

  /** Every method of every path, in the order in which they were added. */
  list(): { method: string; path: string }[] {
    return [...this.#routes].flatMap(([path, { methods }]) => [...methods].map((method) => ({ method, path })));
  }

  /** 405 with the allowed methods when another method would fit, 422 for an empty name, 404 otherwise. */
  explain(method: string, url: string): { problem: Problem; allowed?: string[] } {
    const path = url.split(/[?;#]/, 1)[0] as string;
    const route = [...this.#routes.values()].find(({ pattern }) => pattern.test(path));
    if (route && !route.methods.has(method)) {
      const allowed = [...route.methods].sort();
      const message = `${method} is not possible here: ${allowed.join(', ')} ${allowed.length > 1 ? 'are' : 'is'}`;
      return { problem: problem(405, 'method_not_allowed', message), allowed };
    }
    if (route) {
      const message = 'a name in the path must not be empty';
      return { problem: problem(422, 'invalid', message, [{ path: 'name', message }]) };
    }
    const hint = path.startsWith('/wiki/') ? ': a slash in a page name is written %2F' : '';
    return { problem: problem(404, 'not_found', `there is nothing at this path${hint}`) };
  }
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replace(/:\w+/g, '[^/]*')}$`);
}
