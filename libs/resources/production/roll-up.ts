import type { StatusKinds, TaskState } from './reduce-task.ts';

/** How far a shot or an asset is, by its tasks. */
export type Progress = 'not_applicable' | 'waiting' | 'in_progress' | 'final';

/**
 * Rolls tasks up: final when all are done, those left aside that do not apply; in progress when any has been begun, so also when a done one
 * was reopened. Tasks none of which apply make nothing final. What is itself marked as not applicable stays that.
 */
export function rollUp(
  entity: { readonly not_applicable: boolean },
  tasks: readonly Pick<TaskState, 'status' | 'reopened' | 'real_start_date'>[],
  kinds: StatusKinds,
): Progress {
  if (entity.not_applicable) return 'not_applicable';
  const applicable = tasks.filter(({ status }) => kinds.get(status) !== 'not_applicable');
  if (applicable.length > 0 && applicable.every(({ status }) => kinds.get(status) === 'done')) return 'final';
  const begun = applicable.some(
    ({ status, reopened, real_start_date }) => reopened || real_start_date !== null || kinds.get(status) !== 'open',
  );
  return begun ? 'in_progress' : 'waiting';
}
