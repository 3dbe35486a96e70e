import type { RuleDefinition, Rules } from '#libs/integrity';
import type { AskedEntity } from './consistency.queries.ts';
import type { EntityKey, Inconsistency } from './consistency.ts';
import type { EntityTaskStatus, TaskDetail } from './entity-task-status.projection.ts';
import type { StatusKind, StatusKinds } from './reduce-task.ts';

/** A shot or an asset, as a rule is told of it. */
export interface JudgedEntity extends EntityKey {
  readonly project_id: string;
}

/** A task of it. */
export interface JudgedTask extends TaskDetail {
  /** What its status means. */
  readonly status_kind: StatusKind;
}

/** A rule in code about shots and assets, given to it one by one with all of their tasks in the order in which these were made. */
export type ConsistencyRule = RuleDefinition<JudgedEntity, JudgedTask>;

/** How an entity breaks the rules that are code. */
export function judgeEntity(
  rules: Rules,
  { entity_type, entity_id, project_id }: AskedEntity,
  { task_details }: EntityTaskStatus,
  kinds: StatusKinds,
): Inconsistency[] {
  if (project_id === null || rules.all.length === 0) return [];
  const entity: JudgedEntity = { entity_type, entity_id, project_id };
  const tasks = task_details.map((task): JudgedTask => ({ ...task, status_kind: kinds.get(task.status) ?? 'open' }));
  return rules.judge(entity, tasks).map((broken) => ({ kind: 'wrong', source: 'rule', ...broken }));
}
