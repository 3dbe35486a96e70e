import {
  type Actor,
  type Condition,
  defineResource,
  holds,
  queryable,
  type Row,
  staleError,
  versionTag,
  type Writer,
} from '#libs/journal';
import { refuse } from '../refuse.ts';
import type { Inconsistency } from './consistency.ts';
import type { EntityTaskStatus, EntityType } from './entity-task-status.projection.ts';
import { findRecord, noRecord } from './record.queries.ts';
import { project } from './records.ts';
import type { StatusKinds } from './reduce-task.ts';

/** What the tasks of a project are to keep. Where an entity has no task of one of the types, the rule says nothing of it. */
export type ProjectRule = {
  readonly no: {
    readonly task_type: string;
    /** Only of shots, or of assets. */
    readonly entity_type?: EntityType | undefined;
  } & ({ readonly done_before: string } | { readonly begun_before: string });
};

/** The rules of projects; their history is that of the row of a project. */
export const projectRules = defineResource<Row>({
  name: 'project_rules',
  key: 'project_id',
  project: 'project_id',
});

/** One journaled row for each repair that was applied. */
export const consistencyRepair = defineResource<Row>({ name: 'consistency_repair', project: 'project_id' });

export interface KeptRules {
  readonly project_id: string;
  readonly rules: readonly ProjectRule[];
  /** 0 before a project was given rules. */
  readonly row_version: number;
}

/** How an entity's tasks break the rules. A task that does not apply is done, as far as others wait for it. */
export function brokenRules(
  entity_type: EntityType,
  rules: readonly ProjectRule[],
  { task_details }: EntityTaskStatus,
  kinds: StatusKinds,
): Inconsistency[] {
  return rules.flatMap(({ no }) => {
    if (no.entity_type !== undefined && no.entity_type !== entity_type) return [];
    const before = 'done_before' in no ? no.done_before : no.begun_before;
    const kindOf = (status: string) => kinds.get(status) ?? 'open';
    const waiting = task_details.some(
      ({ task_type, status }) => task_type === before && !['done', 'not_applicable'].includes(kindOf(status)),
    );
    if (!waiting) return [];
    const early = task_details.filter(({ task_type, status }) => {
      if (task_type !== no.task_type || kindOf(status) === 'not_applicable') return false;
      return 'done_before' in no ? kindOf(status) === 'done' : kindOf(status) !== 'open';
    });
    return early.map(({ id, status }) => ({
      ...{ kind: 'wrong', field: `tasks.${id}.status`, expected: { no }, actual: status, source: 'rule' },
    })) as Inconsistency[];
  });
}

/** The rules of a project: none where it was given none. Throws `not_found` for one that does not exist. */
export async function getRules(db: Parameters<typeof findRecord>[0], projectId: string): Promise<KeptRules> {
  const { rows } = await db.query<{ rules: ProjectRule[] | null; row_version: number }>(
    `SELECT r.rules, coalesce(r.row_version, 0)::int AS row_version
       FROM project p LEFT JOIN project_rules r ON r.project_id = p.id WHERE p.id = $1`,
    [projectId],
  );
  const found = rows[0];
  if (!found) throw noRecord(project, projectId);
  return { project_id: projectId, rules: found.rules ?? [], row_version: found.row_version };
}

/**
 * Gives a project its rules, in place of those that it had. Throws `not_found`, `invalid` that names each type of task that there is not,
 * `stale` when the condition does not hold.
 */
export async function setRules(
  writer: Writer,
  actor: Actor,
  projectId: string,
  rules: readonly ProjectRule[],
  condition?: Condition,
): Promise<{ tid: number | null; kept: KeptRules }> {
  const { tid } = await writer.transaction(actor, async (tx) => {
    const db = queryable(tx);
    await db.query('SELECT FROM project WHERE id = $1 FOR NO KEY UPDATE', [projectId]);
    const before = await getRules(db, projectId);
    const { row_version } = before;
    const stands = row_version === 0 ? undefined : versionTag({ id: projectId, row_version });
    if (condition && !holds(condition, stands)) throw staleError(condition, `the rules of project ${projectId}`);
    await checkTypes(db, rules);
    if (JSON.stringify(ordered(rules)) === JSON.stringify(ordered(before.rules))) return;
    const values = { rules: JSON.stringify(rules) };
    if (row_version === 0) tx.create(projectRules, { project_id: projectId, ...values });
    else tx.save(projectRules, projectId, values);
  });
  return { tid, kept: await getRules(writer.database, projectId) };
}

function ordered(rules: readonly ProjectRule[]): unknown {
  return rules.map(({ no }) => Object.entries(no).sort());
}

async function checkTypes(db: Parameters<typeof findRecord>[0], rules: readonly ProjectRule[]): Promise<void> {
  const { rows } = await db.query<{ id: string }>('SELECT id FROM task_type');
  const known = new Set(rows.map(({ id }) => id));
  const errors = rules.flatMap(({ no }, n) =>
    Object.entries(no).flatMap(([name, type]) => {
      if (name === 'entity_type' || type === undefined || known.has(type)) return [];
      return [{ path: `rules.${n}.no.${name}`, message: `there is no task type ${JSON.stringify(type)}` }];
    }),
  );
  refuse(errors);
}
