import { StandardSchemaValidationPipe, type StandardSchemaValidationPipeOptions } from '@nestjs/common';
import { z } from 'zod';
import { KernelError } from '#libs/database';

/** Checks what a parameter's schema says. Throws `invalid` that names each field, `malformed` when there is no body at all. */
export function validationPipe(): StandardSchemaValidationPipe {
  return new StandardSchemaValidationPipe({
    exceptionFactory: (issues) => {
      const errors = issues.flatMap(fieldErrors);
      return new KernelError('invalid', errors.map(sentence).join('; '), { errors });
    },
  });
}

/** A JSON body of exactly these fields. */
export function body<T extends z.ZodRawShape>(shape: T) {
  return z.strictObject(shape, { error: unknownNames(Object.keys(shape)) });
}

/** Query parameters of exactly these names; an empty one counts as absent. */
export function query<T extends z.ZodRawShape>(shape: T) {
  return z.preprocess(
    (given) => Object.fromEntries(Object.entries(given as object).filter(([, value]) => value !== '')),
    z.strictObject(shape, { error: unknownNames(Object.keys(shape)) }),
  );
}

/** A query parameter. */
export function text() {
  return z.string('must be given once');
}

/** A whole number in a query parameter. */
export function wholeNumber(lowest: number, highest: number) {
  const message = `must be a whole number from ${lowest} to ${highest}`;
  return text()
    .regex(/^\d{1,15}$/, message)
    .transform(Number)
    .refine((number) => number >= lowest && number <= highest, message)
    .meta({ wire: { type: 'integer', minimum: lowest, maximum: highest } });
}

/** The query parameter of what can be read as it was. */
export function asOf() {
  const description = 'As it was at this tid, or at this time (RFC 3339)';
  return text().optional().meta({ description });
}

/** How many items a page of a list has at most. */
export function limit(usual: number) {
  return wholeNumber(1, 500).default(usual).meta({ description: 'How many at most' });
}

/** The parameters of every list. */
export const paging = {
  limit: limit(50),
  cursor: text().optional().meta({ description: 'Where to go on: `next` of the page before' }),
};

function unknownNames(known: readonly string[]) {
  return (issue: z.core.$ZodRawIssue) =>
    issue.code === 'unrecognized_keys' ? `is not known here; known are ${known.join(', ')}` : undefined;
}

type Issue = Parameters<NonNullable<StandardSchemaValidationPipeOptions['exceptionFactory']>>[0][number];

/** One error a field: names that are not known are told by zod in one issue of the object that holds them. */
function fieldErrors(issue: Issue): { path: string; message: string }[] {
  const at = (issue.path ?? []).map(segment);
  const { keys = [] } = issue as { keys?: string[] };
  const paths = keys.length > 0 ? keys.map((key) => [...at, key]) : [at];
  const message = plain(issue as z.core.$ZodIssue);
  return paths.map((path) => ({ path: path.join('.'), message }));
}

const TYPES: Record<string, string> = {
  ...{ string: 'text', number: 'a number', int: 'a whole number', boolean: 'true or false', array: 'a list' },
  ...{ object: 'a JSON object', record: 'a JSON object', null: 'null' },
};

/** What zod says by itself, in the words of JSON. */
function plain(issue: z.core.$ZodIssue): string {
  const { message } = issue;
  if (issue.code === 'invalid_value' && message.startsWith('Invalid option: ')) {
    return `must be one of ${issue.values.join(', ')}`;
  }
  if (issue.code === 'too_small' && message.startsWith('Too small: ')) return bound(issue, issue.minimum, 'at least');
  if (issue.code === 'too_big' && message.startsWith('Too big: ')) return bound(issue, issue.maximum, 'at most');
  const [, expected = '', received = ''] = /^Invalid input: expected (\w+), received (\w+)$/.exec(message) ?? [];
  if (!Object.hasOwn(TYPES, expected)) return message;
  if (received === 'undefined') return `is missing: must be ${TYPES[expected]}`;
  return `must be ${TYPES[expected]}, not ${TYPES[received] ?? received}`;
}

const PARTS: Record<string, string> = { array: 'item', string: 'character' };

function bound({ origin }: { origin: string }, limit: number | bigint, side: string): string {
  const part = PARTS[origin];
  if (part === undefined) return `must be ${side} ${limit}`;
  return `must have ${side} ${limit} ${part}${Number(limit) === 1 ? '' : 's'}`;
}

function segment(part: PropertyKey | { key: PropertyKey }): string {
  return String(typeof part === 'object' ? part.key : part);
}

function sentence({ path, message }: { path: string; message: string }): string {
  return path === '' ? message : `${path}: ${message}`;
}
