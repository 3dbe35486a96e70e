import fc, { type Arbitrary } from 'fast-check';
import { anyOf, arbitraryValue, mutilated } from './arbitrary-value.ts';
import type { Document, Schema } from './document.ts';

/** Bodies for a schema: most of them right, the others wrong in one of many ways. */
export function arbitraryBody(document: Document, schema: Schema): Arbitrary<Buffer> {
  const example = exampleOf(document, schema) as Record<string, unknown>;
  const any = arbitraryValue(document, schema) as Arbitrary<Record<string, unknown>>;
  // What a schema allows is often refused by what it cannot tell of: the example is not.
  const like = fc
    .tuple(any, fc.array(field(document, schema), { maxLength: 2 }))
    .map(([value, chosen]) => ({ ...example, ...only(value, chosen) }));
  const right = anyOf([1, any], [2, like]);
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  return anyOf<Buffer>(
    [20, right.map(json)],
    [
      6,
      fc
        .tuple(right, field(document, schema), wrongValue())
        .map(([value, name, wrong]) => json({ ...value, [name]: wrong })),
    ],
    [2, fc.tuple(right, field(document, schema)).map(([value, name]) => json({ ...value, [name]: undefined }))],
    [2, fc.tuple(right, mutilated(), fc.jsonValue()).map(([value, name, more]) => json({ ...value, [name]: more }))],
    [2, right.map((value) => repeated(JSON.stringify(value)))],
    [2, right.chain((value) => cut(JSON.stringify(value)))],
    [1, wrongValue().map(json)],
    [
      2,
      fc.constantFrom(
        ...NO_JSON.map((text) => Buffer.from(text)),
        Buffer.from('7b2261223a22ff227d', 'hex'),
        Buffer.alloc(0),
      ),
    ],
  );
}

const NO_JSON = [
  '[',
  ' ',
  'undefined',
  '{"text":"a","__proto__":{"x":1}}',
  '{"constructor":{"prototype":{"x":1}}}',
  `${'['.repeat(5000)}${']'.repeat(5000)}`,
  `${'{"a":'.repeat(100)}1${'}'.repeat(100)}`,
  '{"text":"\\ud800"}',
  '{"text":"a\\u0000b"}',
  '{"text":1e999}',
  '\ufeff{"text":"a"}',
];

/** The example of a schema, or of the component that it refers to. */
export function exampleOf(document: Document, given: Schema): unknown {
  const schema = document.resolve(given);
  return schema.example ?? schema.examples?.[0];
}

function only(value: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([name]) => names.includes(name)));
}

function field(document: Document, schema: Schema): Arbitrary<string> {
  return fc.constantFrom(...Object.keys(document.resolve(schema).properties ?? {}), '');
}

function wrongValue(): Arbitrary<unknown> {
  return fc.oneof(
    fc.constantFrom<unknown>(
      null,
      true,
      0,
      -1,
      1.5,
      1e300,
      '',
      'x',
      [],
      {},
      [null],
      { a: 1 },
      '\0',
      '\ud800',
      'x'.repeat(200_000),
    ),
    fc.jsonValue({ maxDepth: 3 }),
    mutilated(),
  );
}

function repeated(json: string): Buffer {
  const first = /^{("(?:[^"\\]|\\.)*")/.exec(json)?.[1];
  return Buffer.from(first === undefined ? json : `{${first}:1,${json.slice(1)}`);
}

function cut(json: string): Arbitrary<Buffer> {
  return fc.nat({ max: json.length }).map((length) => Buffer.from(json.slice(0, length)));
}
