import type { Row } from '#libs/journal';
import { characterProblem, isSingleLine, lengthProblem } from '../characters.ts';
import { type FieldError, refuse } from '../refuse.ts';
import { type Field, givenFields, parseId, type RecordKind } from './record-kind.ts';

/**
 * What is given of a record, as it is stored. Throws `invalid` that lists everything that is wrong: unknown names, what is missing, and
 * values that a field cannot have. Whether there is what a reference names is not looked at.
 */
export function checkRecord(kind: RecordKind, given: Row, when: 'create' | 'change'): Row {
  const fields = new Map(givenFields(kind, when));
  const errors: FieldError[] = [];
  const checked: Row = {};
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const field = fields.get(name);
    const read = field === undefined ? { problem: 'cannot be given here' } : readValue(field, value);
    if ('problem' in read) errors.push({ path: name, message: `${name} ${read.problem}` });
    else checked[name] = read.value;
  }
  for (const [name, { required }] of fields) {
    const missing = when === 'create' && required && given[name] === undefined;
    if (missing) errors.push({ path: name, message: `${name} is missing` });
  }
  refuse(errors);
  return checked;
}

type Read = { readonly value: unknown } | { readonly problem: string };

function readValue(field: Field, given: unknown): Read {
  if (given === null) return field.nullable ? { value: null } : { problem: 'must not be null' };
  switch (field.type) {
    case 'text':
      return typeof given === 'string' ? readText(field, given) : { problem: 'must be text' };
    case 'choice':
      return field.of.includes(given as string) ? { value: given } : { problem: `must be ${field.of.join(' or ')}` };
    case 'integer': {
      const fits = Number.isInteger(given) && (given as number) >= field.from && (given as number) <= field.to;
      return fits ? { value: given } : { problem: `must be a whole number from ${field.from} to ${field.to}` };
    }
    case 'boolean':
      return typeof given === 'boolean' ? { value: given } : { problem: 'must be true or false' };
    case 'day':
      return isDay(given) ? { value: given } : { problem: 'must be a day such as 2026-01-31' };
    case 'moment':
      return { problem: 'cannot be given here' };
    case 'entity':
      return readId('number', given);
    case 'reference':
      return field.list ? readIds(given) : readId(field.to.startsWith('task_') ? 'name' : 'number', given);
  }
}

function readText({ limit, lines, required }: Field & { type: 'text' }, given: string): Read {
  const value = lines ? given : given.trim();
  if (value === '' && required) return { problem: 'must not be empty' };
  if (!lines && !isSingleLine(value)) return { problem: 'must be a single line' };
  const problem = characterProblem(value) ?? lengthProblem(value, limit);
  return problem === undefined ? { value } : { problem };
}

function readId(id: RecordKind['id'], given: unknown): Read {
  const value = parseId({ id }, given);
  return value === undefined ? { problem: `is no id: ${JSON.stringify(given)?.slice(0, 100)}` } : { value };
}

function readIds(given: unknown): Read {
  if (!Array.isArray(given) || given.length > MAX_LIST) return { problem: `must be a list of at most ${MAX_LIST} ids` };
  const ids = given.map((each) => parseId({ id: 'number' }, each));
  return ids.includes(undefined) ? { problem: 'must be a list of ids' } : { value: [...new Set(ids)] };
}
const MAX_LIST = 100;

function isDay(given: unknown): boolean {
  if (typeof given !== 'string' || !/^\d{4}-\d{2}-\d{2}$/.test(given) || given < '0001') return false;
  const day = new Date(`${given}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(given);
}
