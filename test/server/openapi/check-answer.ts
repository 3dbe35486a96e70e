import type { Document, Operation } from './document.ts';
import type { Answered } from './exchange.ts';

const OWN_HEADERS = ['tidemark-tid', 'etag', 'location', 'idempotency-replayed', 'www-authenticate'];

// Of the database and of this program: none of a caller's business. The generated requests hold none of these words.
const INSIDES =
  /\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|pg_\w+|tidemark\.\w+|postgres\w*|relation "|syntax error|violates|node_modules|TypeError)\b|\n\s+at |\.[jt]s:\d+/;

/** What is wrong with an answer, by the document and by what holds of every answer. */
export function answerFaults(document: Document, operation: Operation, answered: Answered): string[] {
  const { status, headers, body } = answered;
  const declared = operation.responses[status];
  if (!declared) return [`the status ${status} is not declared`];
  const faults: string[] = [];
  if (status >= 500 && !(status === 504 && body?.includes('not_caught_up')))
    faults.push(`the server failed: ${status}`);
  const type = headers['content-type']?.split(';')[0];
  const media = declared.content ?? {};
  if (Object.keys(media).length === 0) {
    if (body !== '') faults.push('there is a body, and none is declared');
  } else if (!('*/*' in media) && (type === undefined || !(type in media))) {
    faults.push(`the content type ${type} is not declared`);
  } else if (type?.includes('json')) {
    const wrong = document.bodyError(operation, status, type, JSON.parse(body as string));
    if (wrong !== undefined) faults.push(`the body breaks its schema: ${wrong}`);
  }
  if (status >= 400 && INSIDES.test(body as string)) faults.push('the answer tells of the insides');
  return [...faults, ...headerFaults(document, operation, answered)];
}

function headerFaults(document: Document, { responses }: Operation, { status, headers }: Answered): string[] {
  const declared = Object.entries(responses[status]?.headers ?? {});
  const names = declared.map(([name]) => name.toLowerCase());
  const undeclared = OWN_HEADERS.filter((name) => headers[name] !== undefined && !names.includes(name));
  // Files of /docs are told apart by a tag that no change is made on.
  const faults = undeclared
    .filter((name) => name !== 'etag' || '412' in responses)
    .map((name) => `the header ${name} is not declared`);
  for (const [name, { schema }] of declared) {
    const value = headers[name.toLowerCase()];
    if (value === undefined) continue;
    const wrong = document.valueError(schema, schema.type === 'integer' ? Number(value) : value);
    if (wrong !== undefined) faults.push(`the header ${name}: ${wrong}`);
  }
  if (status === 201 && headers.location === undefined) faults.push('201 without a Location');
  if (status === 401 && headers['www-authenticate'] === undefined) faults.push('401 without WWW-Authenticate');
  return faults;
}
