import type { EntityScope } from './consistency.queries.ts';
import type { ValidateOptions, Validating, Validation } from './validate-entities.ts';
import { validateScope } from './validate-scope.ts';

/** The verdict on each entity of a scope, a page at a time. */
export async function* reportConsistency(
  validating: Validating,
  scope: EntityScope,
  options: ValidateOptions = {},
): AsyncGenerator<Validation[], void> {
  for await (const page of validateScope(validating, scope, options)) yield page.map(({ validation }) => validation);
}

/** What the details of a report add up to. */
export interface ReportSummary {
  readonly project_id: string | null;
  readonly entities: number;
  readonly shots: number;
  readonly assets: number;
  readonly valid: number;
  readonly invalid: number;
  readonly tasks: number;
  readonly inconsistencies: number;
  readonly by_kind: Readonly<Record<'missing' | 'extra' | 'wrong' | 'duplicate' | 'stale', number>>;
}

export function emptySummary(project_id: string | null): ReportSummary {
  const by_kind = { missing: 0, extra: 0, wrong: 0, duplicate: 0, stale: 0 };
  return {
    ...{ project_id, entities: 0, shots: 0, assets: 0, valid: 0, invalid: 0, tasks: 0, inconsistencies: 0 },
    by_kind,
  };
}

/** A summary with one entity more. */
export function addTo(summary: ReportSummary, { entity_type, valid, task_count, inconsistencies }: Validation) {
  const by_kind = { ...summary.by_kind };
  for (const { kind } of inconsistencies) by_kind[kind] += 1;
  return {
    project_id: summary.project_id,
    entities: summary.entities + 1,
    shots: summary.shots + Number(entity_type === 'shot'),
    assets: summary.assets + Number(entity_type === 'asset'),
    valid: summary.valid + Number(valid),
    invalid: summary.invalid + Number(!valid),
    tasks: summary.tasks + task_count,
    inconsistencies: summary.inconsistencies + inconsistencies.length,
    by_kind,
  };
}
