import type { Check, Found } from '#libs/integrity';
import { shortJson } from './output.ts';

/** A difference as it is printed: the names of HTTP. */
export function differenceLine(check: Check, { id, field, kind, expected, actual, since }: Found) {
  return {
    ...{ check_name: check.name, resource: check.resource, row_id: id, field, kind, expected, actual },
    since_tid: since,
  };
}

const LONGEST = 300;

/** A difference as a line for people: of two long values that differ in one place, that place. */
export function differenceText(check: Check, { id, field, kind, expected, actual }: Found): string {
  const at = differingPlace(expected, actual);
  const what = [check.resource, id, `${field ?? ''}${at.path}`].filter((part) => part).join(' ');
  return `${what}: ${kind}, should be ${shortJson(at.expected, LONGEST)}, is ${shortJson(at.actual, LONGEST)}`;
}

/** Goes down into two values for as long as they differ in one place only. */
function differingPlace(expected: unknown, actual: unknown): { path: string; expected: unknown; actual: unknown } {
  const names = isTree(expected) && isTree(actual) ? new Set([...Object.keys(expected), ...Object.keys(actual)]) : [];
  const differing = [...names].filter(
    (name) => JSON.stringify(of(expected, name)) !== JSON.stringify(of(actual, name)),
  );
  const [name] = differing;
  if (name === undefined || differing.length > 1 || Array.isArray(expected) !== Array.isArray(actual)) {
    return { path: '', expected, actual };
  }
  const inner = differingPlace(of(expected, name), of(actual, name));
  return { ...inner, path: `${Array.isArray(expected) ? `[${name}]` : `.${name}`}${inner.path}` };
}

function isTree(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function of(tree: unknown, name: string): unknown {
  return (tree as Record<string, unknown>)[name];
}
