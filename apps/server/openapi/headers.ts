interface Header {
  readonly description: string;
  readonly schema: object;
  readonly example?: unknown;
}

const text = { type: 'string' };

/** What a request may carry, by the name of the header. */
export const REQUEST_HEADERS = {
  'Tidemark-Wait-For': {
    description:
      'Answer only when this process, and the projections that are read, have applied this tid: the Tidemark-Tid of your last change, to read your own writes anywhere',
    schema: { type: 'integer', minimum: 0, maximum: 999_999_999_999_999 },
  },
  'Tidemark-Wait-Timeout': {
    description: 'How many seconds to wait for that at most; 5 unless given',
    schema: { type: 'number', minimum: 0, maximum: 30 },
  },
  'Idempotency-Key': {
    description:
      'Repeated with the same key within 24 hours, the request changes nothing and gets the first answer again. Take a fresh one (a UUID) for each change',
    schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[!-~]+$' },
  },
  'If-Match': {
    description: 'Only if it stands at this ETag, or at one of several; `*`: only if it exists',
    schema: text,
  },
  'If-None-Match': { description: '`*`: only if it does not exist yet', schema: { type: 'string', enum: ['*'] } },
} satisfies Record<string, Header>;

/** Of a read, where If-None-Match asks another thing than of a change. */
export const IF_CHANGED: Header = {
  description: 'Answers 304 without a body when it still stands at this ETag',
  schema: text,
};

/** What an answer may carry, by the name of the header. */
export const RESPONSE_HEADERS = {
  'Tidemark-Tid': {
    description: 'The highest tid that the change drew; absent when nothing changed',
    schema: { type: 'integer', minimum: 1 },
    example: 42,
  },
  ETag: {
    description: 'Changes with every journaled change, and never comes back under this URL',
    schema: text,
    example: '"7-3"',
  },
  Location: {
    description: 'Where it was created',
    schema: { type: 'string', format: 'uri-reference' },
    example: '/wiki/Home',
  },
  'Idempotency-Replayed': {
    description: 'The request was answered before: this is that answer, and nothing has changed',
    schema: { type: 'string', enum: ['true'] },
  },
  'WWW-Authenticate': { description: 'How to show who you are', schema: text, example: 'Bearer realm="tidemark"' },
} satisfies Record<string, Header>;

export type ResponseHeader = keyof typeof RESPONSE_HEADERS;

/** These headers, as a response of the document has them. */
export function responseHeaders(names: readonly ResponseHeader[]): Record<string, Header> {
  return Object.fromEntries(names.map((name) => [name, RESPONSE_HEADERS[name]]));
}
