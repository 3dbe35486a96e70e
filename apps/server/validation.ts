import { StandardSchemaValidationPipe } from '@nestjs/common';
import { z } from 'zod';
import { KernelError } from '#libs/database';

/** Checks what a parameter's schema says. Throws `invalid` that names each field, `malformed` when there is no body at all. */
export function validationPipe(): StandardSchemaValidationPipe {
  return new StandardSchemaValidationPipe({
    exceptionFactory: (issues) => {
      const errors = issues.map(({ path = [], message }) => ({ path: path.map(segment).join('.'), message }));
      return new KernelError('invalid', errors.map(sentence).join('; '), { errors });
    },
  });
}

/** A JSON body of exactly these fields. */
export function body<T extends z.ZodRawShape>(shape: T) {
  return z.strictObject(shape, { error: explain });
}

/** Query parameters of exactly these names; an empty one counts as absent. */
export function query<T extends z.ZodRawShape>(shape: T) {
  return z.preprocess(
    (given) => Object.fromEntries(Object.entries(given as object).filter(([, value]) => value !== '')),
    z.strictObject(shape, { error: explain }),
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
    .refine((number) => number >= lowest && number <= highest, message);
}

/** The parameters of every list. */
export const paging = { limit: wholeNumber(1, 500).default(50), cursor: text().optional() };

function explain(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'unrecognized_keys') return `unknown: ${(issue['keys'] as string[]).join(', ')}`;
  return undefined;
}

function segment(part: PropertyKey | { key: PropertyKey }): string {
  return String(typeof part === 'object' ? part.key : part);
}

function sentence({ path, message }: { path: string; message: string }): string {
  return path === '' ? message : `${path}: ${message}`;
}
