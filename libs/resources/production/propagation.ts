import { isUnreachable, KernelError, type Queryable } from '#libs/database';
import type { EffectListener } from '#libs/effects';
import type { JournalEntry } from '#libs/journal';
import { entityTaskStatusProjection } from './entity-task-status.projection.ts';
import {
  deletePropagations,
  findChanges,
  findLastChange,
  insertPropagations,
  type Propagation,
} from './propagation.queries.ts';
import { noRecord } from './record.queries.ts';
import { task } from './records.ts';
import { findTask } from './task.queries.ts';
import { isDamaged, type Validating, validateEntities } from './validate-entities.ts';

/** What the listener is called that validates changes of statuses. */
export const PROPAGATION = 'task-propagation';

export interface PropagationOptions {
  readonly validating: Validating;
  /** Kernel.waitFor. */
  waitFor(tid: number, options: { projections: readonly string[]; timeout: number }): Promise<void>;
}

const WAIT_FOR = 5_000;

/**
 * Validates the entity of each task whose status was changed, whoever changed it, once the projection reflects the change, and keeps a record
 * of it: exactly one for each change, by which it is told from others. What fails is tried again.
 */
export function propagationListener({ validating, waitFor }: PropagationOptions): EffectListener {
  const propagate = together((changes: JournalEntry[]) => propagateChanges(validating, changes));
  return {
    ...{ name: PROPAGATION, resources: [task.name], fields: ['status'], concurrency: 50 },
    async onPrimary(entry) {
      if (!isStatusChange(entry)) return;
      await waitFor(entry.tid, { projections: [entityTaskStatusProjection.name], timeout: WAIT_FOR });
      await propagate(entry);
    },
  };
}

/** A constant number of statements, however many changes. */
async function propagateChanges(validating: Validating, entries: readonly JournalEntry[]): Promise<void> {
  const changes = await findChanges(validating.database, entries);
  if (changes.length === 0) return;
  // what a change under way explains is no damage, and its own propagation validates it
  const found = await validateEntities(validating, changes, { by: 'propagation', patience: 0 });
  await insertPropagations(
    validating.database,
    changes.map((change, n) => ({ ...change, consistency_valid: !found[n] || !isDamaged(found[n].validation) })),
  );
}

function isStatusChange({ change, values }: JournalEntry): boolean {
  return change !== 'CREATE' && change !== 'DELETE' && Object.hasOwn(values, 'status');
}

/**
 * Validates a task's entity now and keeps a record of it, from the status of the task before its last change to the one that it has. Throws
 * `not_found`.
 */
export async function propagateTask(
  validating: Validating,
  id: string,
  write: Queryable = validating.database,
): Promise<Propagation> {
  const found = await findTask(write, id);
  if (!found) throw noRecord(task, id);
  const { project_id, entity_type, entity_id, status } = found.task;
  const last = await findLastChange(write, id);
  const [validated] = await validateEntities(validating, [{ entity_type, entity_id }]);
  if (!validated) throw new KernelError('not_found', `there is no ${entity_type} ${entity_id}`);
  const [inserted] = await insertPropagations(write, [
    {
      ...{ task_id: id, project_id, entity_type, entity_id, tid: null },
      ...{ old_status: last?.old_status ?? status, new_status: status },
      consistency_valid: !isDamaged(validated.validation),
    },
  ]);
  // of no change, so there is never one already
  return inserted as Propagation;
}

/** Deletes some records that are older than some days; returns how many. None of a change that is still to be validated, or once more. */
export function prunePropagations(db: Queryable, days: number, limit: number): Promise<number> {
  return deletePropagations(db, { listener: PROPAGATION, days, limit });
}

const MOST = 100;

/** What is asked for while the work runs is done together after it, and one by one when that fails: one that cannot be done fails alone. */
function together<T>(work: (some: T[]) => Promise<void>): (one: T) => Promise<void> {
  const waiting: { one: T; resolve(): void; reject(error: unknown): void }[] = [];
  let running = false;
  const attempt = async (some: typeof waiting) => {
    try {
      await work(some.map(({ one }) => one));
      for (const { resolve } of some) resolve();
    } catch (error) {
      // a pool that gives no connection says it in its own words
      const cause = error instanceof KernelError ? error.cause : error;
      if (some.length === 1 || isUnreachable(cause)) for (const { reject } of some) reject(error);
      else for (const single of some) await attempt([single]);
    }
  };
  const run = async () => {
    running = true;
    while (waiting.length > 0) await attempt(waiting.splice(0, MOST));
    running = false;
  };
  return (one) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    waiting.push({ one, resolve, reject });
    if (!running) void run();
    return promise;
  };
}
