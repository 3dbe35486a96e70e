import fc, { type Arbitrary } from 'fast-check';
import { arbitraryBody } from './arbitrary-body.ts';
import { anyOf, arbitraryValue, mutilated, type Recalled, recall } from './arbitrary-value.ts';
import type { Document, Operation, Parameter } from './document.ts';

/** A value that is sent as it stands, or one that an earlier answer held. */
export type Value = string | Recalled;

/** Whose token a request bears. */
export type Bearer = 'admin' | 'viewer' | 'none' | 'wrong' | 'expired' | 'revoked' | 'malformed';

/** A request as it is generated, before what it recalls is filled in. */
export interface GeneratedRequest {
  readonly operation: Operation;
  /** In the order of the path, as they are encoded; null means to encode as it should be. */
  readonly path: readonly { readonly value: Value; readonly raw: boolean }[];
  readonly query: readonly (readonly [string, Value, raw?: boolean])[];
  readonly headers: readonly (readonly [string, Value])[];
  readonly bearer: Bearer;
  readonly body: { readonly type: string | null; readonly bytes: Buffer } | null;
}

/** Requests to every operation of a document: most parts of most of them as they should be, each part of some of them not. */
export function arbitraryRequest(document: Document): Arbitrary<GeneratedRequest> {
  return fc.constantFrom(...document.operations).chain((operation) =>
    fc.record({
      operation: fc.constant(operation),
      path: fc.tuple(...parametersIn(operation, 'path').map((parameter) => pathValue(document, parameter))),
      query: queryOf(document, operation),
      headers: headersOf(document, operation),
      bearer: anyOf<Bearer>(
        [30, fc.constant('admin')],
        [1, fc.constantFrom<Bearer>('viewer', 'none', 'wrong', 'expired', 'revoked', 'malformed')],
      ),
      body: bodyOf(document, operation),
    }),
  ) as Arbitrary<GeneratedRequest>;
}

/** The parameters that an operation has in one place. */
export function parametersIn({ parameters }: Operation, place: Parameter['in']): Parameter[] {
  return parameters.filter((parameter) => parameter.in === place);
}

const NAMES = ['Home', 'mail', 'a/b', 'ä ö', '漢字', '😀', '%', '..x', '1', 'a?b#c'];

function goodValue(document: Document, { name, schema, in: place }: Parameter): Arbitrary<Value> {
  if (place === 'path' && name === 'name') return fc.constantFrom(...NAMES);
  if (place === 'path' && name === 'key') return fc.constantFrom('42:ticket:7:mail', '1:wiki:1:mail');
  if (place === 'path' && name === 'id') return anyOf<Value>([5, recall('id')], [1, fc.constantFrom('1', '2', '9999')]);
  if (name === 'tid' || name === 'Tidemark-Wait-For') return recall('tid');
  if (name === 'as_of') return anyOf<Value>([2, recall('tid')], [1, recall('time')]);
  if (['cursor', 'after', 'Last-Event-ID'].includes(name))
    return anyOf<Value>([4, recall('cursor')], [1, fc.constant('now')]);
  if (name === 'If-Match') return anyOf<Value>([4, recall('etag')], [1, fc.constant('*')]);
  if (name === 'If-None-Match') return anyOf<Value>([2, recall('etag')], [2, fc.constant('*')]);
  if (name === 'Idempotency-Key') return anyOf<Value>([2, fc.uuid()], [1, fc.constantFrom('one', 'two', 'three')]);
  if (name === 'wait') return anyOf([9, fc.constant('0')], [1, fc.constant('1')]);
  if (name === 'Tidemark-Wait-Timeout') return fc.constantFrom('0', '0.5', '5');
  return arbitraryValue(document, schema).map(String);
}

function pathValue(document: Document, parameter: Parameter): Arbitrary<GeneratedRequest['path'][number]> {
  return anyOf<GeneratedRequest['path'][number]>(
    [12, goodValue(document, parameter).map((value) => ({ value, raw: false }))],
    [2, mutilated().map((value) => ({ value, raw: false }))],
    [
      1,
      fc
        .constantFrom('%zz', '%', '%FF', '%ED%A0%80', '%00', 'a%2F..%2Fb', '..', '.', '%2F', 'a%2F%2Fb', '')
        .map((value) => ({ value, raw: true })),
    ],
  );
}

function queryOf(document: Document, operation: Operation): Arbitrary<GeneratedRequest['query']> {
  const known = parametersIn(operation, 'query');
  const good = fc.tuple(
    ...known.map((parameter) =>
      sometimes(
        3,
        goodValue(document, parameter).map((value) => [parameter.name, value] as const),
      ),
    ),
  );
  const name = fc.constantFrom(
    ...known.map((parameter) => parameter.name),
    'limit',
    'nothing',
    '__proto__',
    'constructor',
    'sort',
    '',
  );
  const bad = anyOf<[string, Value] | [string, Value, boolean]>(
    [4, fc.tuple(name, mutilated())],
    [2, fc.tuple(name, recall('cursor'))],
    [1, fc.tuple(name, fc.constantFrom('%zz', '%FF', '%00', 'a&', '=', '[]', '%ED%A0%80'), fc.constant(true))],
  );
  return fc
    .tuple(good, sometimes(6, fc.array(bad, { minLength: 1, maxLength: 2 })))
    .map(([found, more]) => [...found.filter((one) => one !== null), ...(more ?? [])]) as Arbitrary<
    GeneratedRequest['query']
  >;
}

const BAD_HEADERS: readonly (readonly [string, string])[] = [
  ['If-Match', 'abc'],
  ['If-Match', '"a", b'],
  ['If-Match', ''],
  ['If-Match', 'W/"1-1"'],
  ['If-Match', '"\u00e9"'],
  ['If-Match', `"${'x'.repeat(5000)}"`],
  ['If-None-Match', '"1-1"'],
  ['If-None-Match', '**'],
  ['Idempotency-Key', 'x'.repeat(256)],
  ['Idempotency-Key', 'a b'],
  ['Idempotency-Key', ''],
  ['Idempotency-Key', '\u00e9'],
  ['Tidemark-Wait-For', '-1'],
  ['Tidemark-Wait-For', 'soon'],
  ['Tidemark-Wait-For', '999999999999999'],
  ['Tidemark-Wait-For', '9'.repeat(400)],
  ['Tidemark-Wait-Timeout', '31'],
  ['Tidemark-Wait-Timeout', '1e1'],
  ['Last-Event-ID', 'garbage'],
  ['Accept', 'text/csv'],
  ['X-Forwarded-For', "'; DROP TABLE wiki"],
  ['X-Large', 'x'.repeat(20_000)],
  ['Expect', 'miracles'],
];

function headersOf(document: Document, operation: Operation): Arbitrary<GeneratedRequest['headers']> {
  const known = parametersIn(operation, 'header');
  const good = fc.tuple(
    ...known.map((parameter) =>
      sometimes(
        6,
        goodValue(document, parameter).map((value) => [parameter.name, value] as const),
      ),
    ),
  );
  const bad = sometimes(10, fc.constantFrom(...BAD_HEADERS));
  return fc.tuple(good, bad).map(([found, one]) => [...found, one].filter((header) => header !== null)) as Arbitrary<
    GeneratedRequest['headers']
  >;
}

function bodyOf(document: Document, { method, requestBody }: Operation): Arbitrary<GeneratedRequest['body']> {
  const type = anyOf<string | null>(
    [20, fc.constant('application/json')],
    [
      1,
      fc.constantFrom(
        'application/json; charset=utf-8',
        'text/plain',
        'application/xml',
        'nonsense',
        'multipart/form-data',
        '',
        null,
      ),
    ],
  );
  const schema = requestBody?.content['application/json']?.schema;
  if (schema) {
    const sent = fc.record({ type, bytes: arbitraryBody(document, schema) });
    return anyOf<GeneratedRequest['body']>([30, sent], [1, fc.constant(null)]);
  }
  const unasked = fc.record({
    type,
    bytes: fc.constantFrom(Buffer.from('{}'), Buffer.from('"a"'), Buffer.alloc(0), Buffer.from('{')),
  });
  return anyOf<GeneratedRequest['body']>([method === 'GET' ? 60 : 10, fc.constant(null)], [1, unasked]);
}

function sometimes<T>(oneIn: number, arbitrary: Arbitrary<T>): Arbitrary<T | null> {
  return anyOf<T | null>([oneIn - 1, fc.constant(null)], [1, arbitrary]);
}
