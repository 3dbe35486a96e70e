import { isDeepStrictEqual } from 'node:util';
import { KernelError } from '#libs/database';
import { characterProblem } from '../characters.ts';

const MAX_NAME = 100;
const MAX_FIELDS = 100;
const MAX_BYTES = 65_536;
const MAX_DEPTH = 16;

/** Everything that is wrong with the custom fields that a caller gives. */
export function customProblems(
  custom: Readonly<Record<string, unknown>>,
  path: string,
): { path: string; message: string }[] {
  return Object.entries(custom).flatMap(([name, value]) => {
    const problem = customNameProblem(name) ?? valueProblem(value, MAX_DEPTH);
    const at = `${path}.${name.toWellFormed().slice(0, MAX_NAME)}`;
    return problem === undefined
      ? []
      : [{ path: at, message: `custom field ${JSON.stringify(name.slice(0, MAX_NAME))} ${problem}` }];
  });
}

/**
 * The custom fields, as JSON, after others were set and those given as null removed. What is not touched keeps every digit. Throws
 * `invalid` when they become too many or too large.
 */
export function mergeCustom(json: string, given: Readonly<Record<string, unknown>>): string {
  const fields = new Map(Object.entries(parseRaw(json)));
  for (const [name, value] of Object.entries(given)) {
    if (value === null) fields.delete(name);
    else fields.set(name, value);
  }
  const merged = JSON.stringify(Object.fromEntries(fields));
  if (fields.size > MAX_FIELDS) throw tooLarge(`a ticket has ${MAX_FIELDS} custom fields at most, not ${fields.size}`);
  if (Buffer.byteLength(merged) > MAX_BYTES) {
    throw tooLarge(`the custom fields of a ticket must not exceed ${MAX_BYTES} bytes of JSON`);
  }
  return merged;
}

/** Whether two texts hold the same custom fields: the database orders names by itself, and keeps every digit of a number. */
export function sameCustom(json: string, other: string): boolean {
  return json === other || isDeepStrictEqual(parseRaw(json), parseRaw(other));
}

/** Why a custom field cannot bear a name: the end of a sentence that begins with it. */
export function customNameProblem(name: string): string | undefined {
  if (name === '') return 'needs a name';
  if (name === '__proto__') return 'cannot be called that';
  if (name.length > MAX_NAME) return `has a name of more than ${MAX_NAME} characters`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are refused
  return /[\0-\x1f\x7f]/.test(name) ? 'has a control character in its name' : characterProblem(name);
}

/** A number that JavaScript cannot hold would be stored as another one. */
function valueProblem(value: unknown, depth: number): string | undefined {
  if (typeof value === 'string') return characterProblem(value);
  if (typeof value === 'number') {
    const exact = Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
    return exact ? undefined : 'holds a number that is not exact here: write it as text';
  }
  if (typeof value !== 'object' || value === null) return value === undefined ? 'has no value' : undefined;
  if (depth === 0) return `is nested deeper than ${MAX_DEPTH} levels`;
  for (const [key, inner] of Object.entries(value)) {
    const problem = characterProblem(key) ?? valueProblem(inner, depth - 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

type RawJson = { rawJSON(text: string): unknown };

/** Keeps the text of a number that would not survive, so that it is written back as it was. */
function parseRaw(json: string): Record<string, unknown> {
  return JSON.parse(json, (_key, value, context?: { source?: string }) =>
    typeof value === 'number' && context?.source !== undefined && String(value) !== context.source
      ? (JSON as unknown as RawJson).rawJSON(context.source)
      : value,
  );
}

function tooLarge(message: string): KernelError {
  return new KernelError('invalid', message, { errors: [{ path: 'custom', message }] });
}
