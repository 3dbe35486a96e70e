import fc, { type Arbitrary } from 'fast-check';
import type { Document, Schema } from './document.ts';

/** Something that an earlier answer held, the n-th last of its kind. */
export interface Recalled {
  readonly recall: 'etag' | 'cursor' | 'tid' | 'time' | 'id';
  readonly back: number;
}

export function recall(kind: Recalled['recall']): Arbitrary<Recalled> {
  return fc.nat({ max: 3 }).map((back) => ({ recall: kind, back }));
}

/** One of several, by weight. */
export function anyOf<T>(...choices: [number, Arbitrary<T>][]): Arbitrary<T> {
  return fc.oneof(...choices.map(([weight, arbitrary]) => ({ weight, arbitrary })));
}

/** A value that a schema of the document accepts. */
export function arbitraryValue(document: Document, given: Schema): Arbitrary<unknown> {
  const schema = document.resolve(given);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  const either = schema.anyOf ?? schema.oneOf;
  if (either) return fc.oneof(...either.map((one) => arbitraryValue(document, one)));
  const types = schema.type === undefined ? [] : [schema.type].flat();
  return types.length === 0
    ? fc.jsonValue({ maxDepth: 2 })
    : fc.oneof(...types.map((type) => ofType(document, schema, type)));
}

function ofType(document: Document, schema: Schema, type: string): Arbitrary<unknown> {
  const { minimum: min = -1000, maximum: max = 1000 } = schema;
  switch (type) {
    case 'string':
      return text(schema);
    case 'integer':
      return fc.integer({ min: Math.max(min, -1e9), max: Math.min(max, 1e9) });
    case 'number':
      return fc.double({ min, max, noNaN: true });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'array': {
      const { items = {}, minItems = 0, maxItems = 4 } = schema;
      return fc.array(arbitraryValue(document, items), {
        minLength: minItems,
        maxLength: Math.min(maxItems, minItems + 4),
      });
    }
    default:
      return object(document, schema);
  }
}

function text({ pattern, format, minLength = 0, maxLength = 40 }: Schema): Arbitrary<string> {
  if (format === 'date-time') return fc.date({ noInvalidDate: true }).map((date) => date.toISOString());
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern, 'u'));
  return fc.string({ unit: 'binary', minLength, maxLength: Math.min(maxLength, minLength + 40) });
}

function object(
  document: Document,
  { properties = {}, required = [], additionalProperties }: Schema,
): Arbitrary<unknown> {
  const fields = Object.entries(properties).map(([name, schema]) => [name, arbitraryValue(document, schema)]);
  const known = fc.record(Object.fromEntries(fields), { requiredKeys: required as never });
  if (typeof additionalProperties !== 'object') return known;
  const others = fc.dictionary(
    fc.string({ minLength: 1, maxLength: 10 }),
    arbitraryValue(document, additionalProperties),
    { maxKeys: 3 },
  );
  return fc.tuple(known, others).map(([one, two]) => ({ ...two, ...one }));
}

/** Text that hardly anything is named, and that some programs stumble over. */
export function mutilated(): Arbitrary<string> {
  return anyOf(
    [3, fc.string({ unit: 'binary', maxLength: 30 })],
    [2, fc.string({ unit: 'grapheme', maxLength: 600 })],
    [
      3,
      fc.constantFrom(
        '-1',
        '0',
        '1',
        '501',
        '1e3',
        '0x10',
        '1.5',
        ' 1',
        'NaN',
        'null',
        'true',
        '99999999999999999999',
        '2147483648',
      ),
    ],
    [
      2,
      fc.constantFrom(
        '\0',
        'a\0b',
        "'",
        '"; --',
        '%',
        '$1',
        '../..',
        '__proto__',
        '\u202e',
        '\ufffe',
        '[object Object]',
        '{}',
        '\n',
      ),
    ],
    [
      1,
      fc.constantFrom(
        'x'.repeat(3000),
        '😀'.repeat(501),
        '1-1',
        'yesterday',
        '2026-13-45',
        '0000-00-00T00:00:00Z',
        '+275760-09-13T00:00:00Z',
      ),
    ],
  );
}
