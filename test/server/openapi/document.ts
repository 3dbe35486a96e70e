import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { TestServer } from '../server-fixture.ts';

export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly pattern?: string;
  readonly format?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly required?: readonly string[];
  readonly example?: unknown;
  readonly examples?: readonly unknown[];
}

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required: boolean;
  readonly description?: string;
  readonly example?: unknown;
  readonly schema: Schema;
}

interface Content {
  readonly schema: Schema;
  readonly example?: unknown;
}

export interface Response {
  readonly description: string;
  readonly headers?: Readonly<Record<string, { readonly schema: Schema }>>;
  readonly content?: Readonly<Record<string, Content>>;
}

export interface Operation {
  readonly method: string;
  readonly path: string;
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly security?: readonly object[];
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Content>> };
  readonly responses: Readonly<Record<string, Response>>;
}

type Paths = Record<string, Record<string, Omit<Operation, 'method' | 'path' | 'parameters'> & Partial<Operation>>>;

/** The OpenAPI document of a server, to look things up in and to check answers by. */
export class Document {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly operations: readonly Operation[];

  constructor(
    readonly json: {
      openapi: string;
      tags: readonly { name: string }[];
      paths: Paths;
      components: { schemas: Record<string, Schema> };
    },
  ) {
    formats.default(this.#ajv);
    this.#ajv.addFormat('byte', /^[A-Za-z0-9+/]*={0,2}$/);
    this.#ajv.addSchema({ ...(closed(json) as object) }, 'openapi');
    this.operations = Object.entries(json.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => {
        return { ...operation, path, method: method.toUpperCase(), parameters: operation.parameters ?? [] };
      }),
    );
  }

  static async of(server: Pick<TestServer, 'url'>): Promise<Document> {
    return new Document((await (await fetch(`${server.url}/openapi.json`)).json()) as never);
  }

  /** A schema, or the component that it refers to. */
  resolve(schema: Schema): Schema {
    if (schema.$ref === undefined) return schema;
    const name = schema.$ref.replace('#/components/schemas/', '');
    return this.resolve(this.json.components.schemas[name] as Schema);
  }

  /** What is wrong with the body of an answer; undefined when it is as the document says, and holds nothing that the document leaves out. */
  bodyError({ path, method }: Operation, status: number, type: string, body: unknown): string | undefined {
    const place = ['paths', path, method.toLowerCase(), 'responses', String(status), 'content', type, 'schema'];
    return this.#error(place, body);
  }

  /** The same of the body of a request. */
  requestError({ path, method }: Operation, body: unknown): string | undefined {
    return this.#error(
      ['paths', path, method.toLowerCase(), 'requestBody', 'content', 'application/json', 'schema'],
      body,
    );
  }

  valueError(schema: Schema, value: unknown): string | undefined {
    return this.#tell(this.#ajv.compile(schema), value);
  }

  #error(place: readonly string[], value: unknown): string | undefined {
    const pointer = place.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/');
    return this.#tell(this.#ajv.getSchema(`openapi#/${pointer}`) as ValidateFunction, value);
  }

  #tell(validate: ValidateFunction, value: unknown): string | undefined {
    return validate(value) ? undefined : this.#ajv.errorsText(validate.errors);
  }
}

// Clients are told to expect more fields than are written down; these tests are not.
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.fromEntries(Object.entries(value).map(([name, given]) => [name, closed(given)]));
  const isObject = copy['type'] === 'object' && typeof copy['properties'] === 'object';
  return isObject && copy['additionalProperties'] === undefined ? { ...copy, additionalProperties: false } : copy;
}
