import { compareEntity, compareJournal, type Inconsistency } from './consistency.ts';
import type { EntityTaskStatus, TaskDetail } from './entity-task-status.projection.ts';

/** What the journal says of an entity's tasks: the status, null where that is lost; none for a task that it does not know, or knows as deleted. */
export type Journaled = ReadonlyMap<string, string | null>;

/** The tasks that the rows of the projection show of an entity and that have no row themselves. */
export function shownOnly(expected: EntityTaskStatus, stored: readonly EntityTaskStatus[]): string[] {
  const there = new Set(expected.task_details.map(({ id }) => id));
  return [...shownDetails(stored).keys()].filter((id) => !there.has(id));
}

/**
 * How the projection differs from an entity's tasks, and these from their journal. Where a task was changed past its triggers, the projection
 * that says what the journal says is right: that is one thing which is wrong, and not two.
 */
export function compareAll(
  expected: EntityTaskStatus,
  stored: readonly EntityTaskStatus[],
  journaled: Journaled,
): { shown: readonly Inconsistency[]; past: readonly Inconsistency[] } {
  const lost = shownOnly(expected, stored).filter((id) => journaled.has(id));
  const past = [
    ...expected.task_details.flatMap(({ id, status }) => compareJournal(id, status, journaled.get(id))),
    ...lost.flatMap((id) => compareJournal(id, undefined, journaled.get(id))),
  ];
  const shown = compareEntity(expected, stored);
  if (past.length === 0 || shown.length === 0) return { shown, past };
  const before = compareEntity(asJournaled(expected, stored, lost, journaled), stored);
  return {
    shown: shown.filter((one) => before.some(({ kind, field }) => kind === one.kind && field === one.field)),
    past,
  };
}

/** An entity before its tasks were changed past their triggers, as far as the journal has their statuses. */
function asJournaled(
  { task_details: present }: EntityTaskStatus,
  stored: readonly EntityTaskStatus[],
  lost: readonly string[],
  journaled: Journaled,
): EntityTaskStatus {
  const shown = shownDetails(stored);
  const task_details = [...present, ...lost.map((id) => shown.get(id) as TaskDetail)]
    .filter(({ id }) => journaled.has(id))
    .map((detail) => ({ ...detail, status: journaled.get(detail.id) ?? detail.status }))
    .sort((a, b) => Number(a.id) - Number(b.id));
  // of two of a type the first one counts
  const task_status = Object.fromEntries(task_details.map(({ task_type, status }) => [task_type, status]).reverse());
  return { task_status, task_details };
}

/** What a damaged row holds may be anything. */
function shownDetails(stored: readonly EntityTaskStatus[]): Map<string, TaskDetail> {
  const listed = stored.flatMap(
    ({ task_details }) => (Array.isArray(task_details) ? task_details : []) as TaskDetail[],
  );
  return new Map(listed.filter((detail) => typeof detail?.id === 'string').map((detail) => [detail.id, detail]));
}
