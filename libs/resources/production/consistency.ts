import type { EntityTaskStatus, EntityType, TaskDetail } from './entity-task-status.projection.ts';

/** A shot or an asset. */
export interface EntityKey {
  readonly entity_type: EntityType;
  readonly entity_id: string;
}

/**
 * One thing in which what is shown of an entity, its tasks, their history and the rules for it disagree. `stale`: a change that the
 * projection has not applied yet explains it.
 */
export interface Inconsistency {
  readonly kind: 'missing' | 'extra' | 'wrong' | 'duplicate' | 'stale';
  /** `task_status.<type>`, `task_details.<task>`, `task_details.<task>.<field>`; `entity_task_status`: the row as a whole; `tasks.<task>.status`; what a rule says. */
  readonly field: string;
  readonly expected: unknown;
  readonly actual: unknown;
  /** With what `actual` disagrees: rows of the projection with tasks, tasks with their journal, tasks with a rule. */
  readonly source: 'projection' | 'journal' | 'rule';
}

type Stored = EntityTaskStatus | undefined;

const from = { source: 'projection' } as const;
const row = { field: 'entity_task_status', ...from } as const;

/** How the rows that the projection holds of an entity, usually one or none, differ from what its tasks say. */
export function compareEntity(expected: EntityTaskStatus, stored: readonly EntityTaskStatus[]): Inconsistency[] {
  const [actual, ...copies] = stored;
  const duplicates = copies.map((copy) => ({ kind: 'duplicate', expected: null, actual: copy, ...row }) as const);
  const some = expected.task_details.length > 0;
  if (!actual) return some ? [{ kind: 'missing', expected, actual: null, ...row }] : [];
  if (!some) return [{ kind: 'extra', expected: null, actual, ...row }, ...duplicates];
  return [...compareStatus(expected, actual), ...compareDetails(expected, actual), ...duplicates];
}

function compareStatus({ task_status: expected }: EntityTaskStatus, actual: Stored): Inconsistency[] {
  const found = object(actual?.task_status);
  return union(Object.keys(expected), Object.keys(found)).flatMap((type) =>
    compareValue(`task_status.${type}`, own(expected, type), own(found, type)),
  );
}

function compareDetails({ task_details: expected }: EntityTaskStatus, actual: Stored): Inconsistency[] {
  const listed = Array.isArray(actual?.task_details) ? (actual.task_details as readonly TaskDetail[]) : [];
  const [wanted, found] = [byId(expected), byId(listed)];
  const differences = union([...wanted.keys()], [...found.keys()]).flatMap((id) => {
    const field = `task_details.${id}`;
    const [first, ...copies] = found.get(id) ?? [];
    const should = wanted.get(id)?.[0];
    const more = copies.map((copy) => ({ kind: 'duplicate', field, expected: null, actual: copy, ...from }) as const);
    if (!first || !should) return [...compareValue(field, should, first), ...more];
    const names = union(Object.keys(should), Object.keys(first));
    return [...names.flatMap((name) => compareValue(`${field}.${name}`, own(should, name), own(first, name))), ...more];
  });
  const [order, is] = [expected, listed].map((list) => list.map((detail) => String(detail?.id)));
  return differences.length > 0 ? differences : compareValue('task_details', order, is);
}

/**
 * What a task's row says and what its journal does. Undefined: no such row, or nothing that is journaled of one; null: it is journaled, but
 * nothing of its status.
 */
export function compareJournal(
  id: string,
  row: string | undefined,
  journal: string | null | undefined,
): Inconsistency[] {
  if (row === journal) return [];
  const kind = row === undefined ? 'missing' : journal === undefined ? 'extra' : 'wrong';
  return [{ kind, field: `tasks.${id}.status`, expected: journal ?? null, actual: row ?? null, source: 'journal' }];
}

function compareValue(field: string, expected: unknown, actual: unknown): Inconsistency[] {
  // most values are no objects, and equal: this makes a report twice as fast
  if (expected === actual || canonical(expected) === canonical(actual)) return [];
  const kind = actual === undefined ? 'missing' : expected === undefined ? 'extra' : 'wrong';
  return [{ kind, field, expected: expected ?? null, actual: actual ?? null, ...from }];
}

function byId(details: readonly TaskDetail[]): Map<string, TaskDetail[]> {
  return Map.groupBy(details, (detail) => String(object(detail)['id']));
}

function own(of: object, name: string): unknown {
  return Object.hasOwn(of, name) ? (of as Record<string, unknown>)[name] : undefined;
}

// What a damaged row holds may be anything.
function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function union(some: readonly string[], others: readonly string[]): string[] {
  return [...new Set([...some, ...others])];
}

/** JSON with sorted names: jsonb keeps no order of them. */
function canonical(value: unknown): string | undefined {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
