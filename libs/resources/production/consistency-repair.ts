import type { Actor, Writer } from '#libs/journal';
import { holdCheckpoint } from '#libs/projection';
import { type EntityScope, enterFindings, keyOf } from './consistency.queries.ts';
import type { EntityKey, Inconsistency } from './consistency.ts';
import { recomputeEntities } from './consistency-repair.queries.ts';
import { entityTaskStatusProjection } from './entity-task-status.projection.ts';
import { consistencyRepair } from './project-rules.ts';
import type { Validated, Validating, Validation } from './validate-entities.ts';
import { validateScope } from './validate-scope.ts';

/** An entity whose projection differs from its tasks, and how. */
export interface RepairedEntity extends EntityKey {
  readonly inconsistencies: readonly Inconsistency[];
}

export interface Repaired {
  readonly tid: number | null;
  /** What was mended; of a dry run, what would be. */
  readonly repaired: readonly RepairedEntity[];
  /**
   * What no repair of the projection mends: tasks that differ from their journal, or break a rule. Whatever else is said of an entity with a
   * task that differs from its journal is here, too: nothing is computed from what is known to be damaged.
   */
  readonly remaining: readonly RepairedEntity[];
}

/** The entities of a scope that are inconsistent. */
export async function findInconsistent(validating: Validating, scope: EntityScope): Promise<Validated[]> {
  const found: Validated[] = [];
  for await (const page of validateScope(validating, scope)) found.push(...page.filter(isInconsistent));
  return found;
}

/** Whether there is anything to be said of an entity. */
export function isInconsistent({ validation }: Validated): boolean {
  return !validation.valid;
}

/** What a repair of entities comes to. */
export function planRepair(found: readonly Validated[]): Omit<Repaired, 'tid'> {
  const of = (mendable: boolean) =>
    found.flatMap(({ validation: { entity_type, entity_id, inconsistencies } }) => {
      const damagedTask = inconsistencies.some(({ source }) => source === 'journal');
      const some = inconsistencies.filter(
        ({ source, kind }) => kind !== 'stale' && mendable === (source === 'projection' && !damagedTask),
      );
      return some.length === 0 ? [] : [{ entity_type, entity_id, inconsistencies: some }];
    });
  return { repaired: of(true), remaining: of(false) };
}

/**
 * Computes the projection's rows of entities anew from their tasks, and journals who did it, in one transaction, during which nobody else
 * moves the projection. Only entities that differ are touched; tasks never are. The writer must be an open transaction.
 */
export async function repairEntities(tx: Writer, actor: Actor, found: readonly Validated[]): Promise<Repaired> {
  const plan = planRepair(found);
  if (plan.repaired.length === 0) return { tid: null, ...plan };
  await holdCheckpoint(tx.database, entityTaskStatusProjection.name);
  await recomputeEntities(tx.database, plan.repaired);
  const { tid } = await tx.transaction(actor, (model) => {
    for (const [project_id, entities] of byProject(plan.repaired, found)) {
      model.create(consistencyRepair, { project_id, entities: JSON.stringify(entities) });
    }
  });
  await enterFindings(tx.database, remainders(plan, found));
  return { tid, ...plan };
}

function byProject(repaired: readonly RepairedEntity[], found: readonly Validated[]) {
  const projects = new Map(found.map(({ validation, project_id }) => [keyOf(validation), project_id]));
  return Map.groupBy(repaired, (entity) => projects.get(keyOf(entity)) ?? null);
}

function remainders({ repaired, remaining }: Omit<Repaired, 'tid'>, found: readonly Validated[]) {
  const mended = new Set(repaired.map(keyOf));
  const left = new Map(remaining.map((entity) => [keyOf(entity), entity.inconsistencies.length]));
  return found.flatMap(({ project_id, validation }) => {
    const { entity_type, entity_id, checked_at }: Validation = validation;
    if (!mended.has(keyOf(validation))) return [];
    return [{ entity_type, entity_id, project_id, checked_at, inconsistencies: left.get(keyOf(validation)) ?? 0 }];
  });
}
