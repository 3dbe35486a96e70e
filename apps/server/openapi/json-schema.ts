import { z } from 'zod';

/** Which side of a schema: what a client sends, or what it gets. */
export type Side = 'input' | 'output';

type Json = Record<string, unknown>;

export interface Converted {
  readonly schema: Json;
  /** The schemas it refers to, and itself when it has an id. */
  readonly components: Record<string, Json>;
}

/** A zod schema as OpenAPI 3.1 wants it. A schema with an id becomes a component. */
export function jsonSchema(schema: z.ZodType, side: Side): Converted {
  const {
    $schema: _,
    $defs,
    ...converted
  } = z.toJSONSchema(schema, { io: side, unrepresentable: 'any', override }) as {
    $defs?: Record<string, Json>;
  } & Json;
  const components = Object.entries($defs ?? {}).map(([name, definition]) => {
    const { id: _id, ...rest } = tidy(definition, side) as Json;
    return [name, rest];
  });
  return { schema: tidy(converted, side) as Json, components: Object.fromEntries(components) };
}

/** The example that a schema names. */
export function exampleOf(schema: z.ZodType): unknown {
  return (schema.meta()?.examples as unknown[] | undefined)?.[0];
}

/**
 * A schema may say under `wire` how its value is written, where that is not what zod reads: numbers in a query are read as text. Null: under
 * names of which no schema can tell.
 */
function override({ zodSchema, jsonSchema }: { zodSchema: z.core.$ZodType; jsonSchema: z.core.JSONSchema.BaseSchema }) {
  const { def } = zodSchema._zod;
  if (def.type === 'default') jsonSchema.default = (def as z.core.$ZodDefaultDef).defaultValue as never;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  const { wire } = jsonSchema as { wire?: object | null };
  if (wire === undefined || wire === null) return;
  for (const name of ['wire', 'type', 'pattern'] as const) delete (jsonSchema as Json)[name];
  Object.assign(jsonSchema, wire);
}

/** Refers to components; leaves answers open, because fields may be added to them. */
function tidy(value: unknown, side: Side): unknown {
  if (Array.isArray(value)) return value.map((item) => tidy(item, side));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .filter(([, given]) => (given as Json | null)?.['wire'] !== null)
    .filter(([name, given]) => !(side === 'output' && name === 'additionalProperties' && given === false))
    .map(([name, given]) => {
      if (name === 'examples' || name === 'default') return [name, given];
      if (name === '$ref') return [name, String(given).replace('#/$defs/', '#/components/schemas/')];
      return [name, tidy(given, side)];
    });
  return Object.fromEntries(entries);
}
