import { KernelError, type Queryable } from '#libs/database';
import type { EffectListener } from '#libs/effects';
import type { JournalEntry } from '#libs/journal';
import type { EntityKey } from './consistency.ts';
import { entityTaskStatusProjection } from './entity-task-status.projection.ts';
import {
  deletePropagations,
  findChange,
  insertPropagation,
  type Propagation,
  type StatusChange,
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
 * of it: exactly one for each change, as it is written together with the news that the effect is done. What fails is tried again.
 */
export function propagationListener({ validating, waitFor }: PropagationOptions): EffectListener {
  const validate = gatheredValidation(validating);
  return {
    ...{ name: PROPAGATION, resources: [task.name], fields: ['status'], concurrency: 50 },
    async onPrimary(entry, effect) {
      if (!isStatusChange(entry)) return;
      const change = await findChange(validating.database, entry);
      if (!change || change.old_status === change.new_status) return;
      await waitFor(entry.tid, { projections: [entityTaskStatusProjection.name], timeout: WAIT_FOR });
      const consistency_valid = await validate(change);
      await effect.commit((writer) =>
        insertPropagation(writer.database, { ...change, consistency_valid, tid: entry.tid }),
      );
    },
  };
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
  const last = await findChange(write, { id });
  const [validated] = await validateEntities(validating, [{ entity_type, entity_id }]);
  if (!validated) throw new KernelError('not_found', `there is no ${entity_type} ${entity_id}`);
  const inserted = await insertPropagation(write, {
    ...{ task_id: id, project_id, entity_type, entity_id, tid: null },
    ...{ old_status: last?.old_status ?? status, new_status: status },
    consistency_valid: !isDamaged(validated.validation),
  });
  // of no change, so there is never one already
  return inserted as Propagation;
}

/** Deletes some records that are older than some days; returns how many. None of a change that is still to be validated, or once more. */
export function prunePropagations(db: Queryable, days: number, limit: number): Promise<number> {
  return deletePropagations(db, { listener: PROPAGATION, days, limit });
}

const MOST = 100;

/** Validations that are asked for while one runs are made together: a bulk change of tasks concerns the same entities. */
function gatheredValidation(validating: Validating): (change: StatusChange) => Promise<boolean> {
  let waiting: { key: EntityKey; resolve(valid: boolean): void; reject(error: unknown): void }[] = [];
  let running = false;
  const run = async () => {
    running = true;
    while (waiting.length > 0) {
      const [some, rest] = [waiting.slice(0, MOST), waiting.slice(MOST)];
      waiting = rest;
      try {
        const found = await validateEntities(
          validating,
          some.map(({ key }) => key),
          // what a change under way explains is no damage, and its own propagation validates it
          { by: 'propagation', patience: 0 },
        );
        for (const [n, { resolve }] of some.entries()) resolve(!found[n] || !isDamaged(found[n].validation));
      } catch (error) {
        for (const { reject } of some) reject(error);
      }
    }
    running = false;
  };
  return (change) => {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    waiting.push({ key: { entity_type: change.entity_type, entity_id: change.entity_id }, resolve, reject });
    if (!running) void run();
    return promise;
  };
}
