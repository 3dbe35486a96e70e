import { z } from 'zod';
import { listOf, tid, time } from '../openapi/answer-types.ts';
import { recordId } from '../production/record-schemas.ts';
import { body } from '../validation.ts';

export const MAX_ENTITIES = 100;
const MAX_RULES = 100;

const word = z.string();
const entityType = z.enum(['shot', 'asset']);
export const EntityTypeParam = word.meta({ description: '`shot` or `asset`', examples: ['shot'] });
export const EntityIdParam = word.meta({ description: 'The id of a shot or an asset', examples: ['7'] });
export const TaskIdParam = word.meta({ description: 'The id of a task', examples: ['7'] });

const Inconsistency = z
  .object({
    kind: z.enum(['missing', 'extra', 'wrong', 'duplicate', 'stale']),
    field: word.meta({
      description:
        'Such as `task_status.comp`, `task_details.7.priority`, `tasks.7.status`, or what a rule of a plugin says',
    }),
    ...{ expected: z.unknown(), actual: z.unknown() },
    source: z.enum(['projection', 'journal', 'rule']).meta({ description: 'What disagrees with the tasks' }),
  })
  .meta({ id: 'Inconsistency' });

const moment = { projection_tid: tid(), head_tid: tid(), checked_at: time() };
const entity = { entity_type: entityType, entity_id: word };
const ofMoment = { projection_tid: 42, head_tid: 42, checked_at: '2026-11-20T09:30:00.123Z' };
const wrong = {
  ...{ kind: 'wrong', field: 'task_status.comp', expected: 'done', actual: 'wip', source: 'projection' },
};
const checked = {
  ...entity,
  valid: z.boolean(),
  inconsistencies: z.array(Inconsistency),
  task_count: z.int(),
  ...moment,
};
const example = { entity_type: 'shot', entity_id: '7' };
const valid = { ...example, valid: true, inconsistencies: [], task_count: 8, ...ofMoment };

export const ValidationAnswer = z.object(checked).meta({ id: 'Validation', examples: [valid] });

export const EntitiesBody = body({
  entities: z
    .array(body({ entity_type: entityType, entity_id: recordId() }))
    .min(1)
    .max(MAX_ENTITIES),
}).meta({ id: 'ValidateEntities', examples: [{ entities: [{ entity_type: 'shot', entity_id: '7' }] }] });

const EntityError = z.object({
  ...entity,
  error: z.object({ code: z.enum(['not_found', 'forbidden']), message: word }),
});

export const BulkValidationAnswer = z
  .object({ results: z.array(z.union([ValidationAnswer, EntityError])) })
  .meta({ id: 'Validations', examples: [{ results: [valid] }] });

const kinds = { missing: z.int(), extra: z.int(), wrong: z.int(), duplicate: z.int(), stale: z.int() };
const noKinds = { missing: 0, extra: 0, wrong: 0, duplicate: 0, stale: 0 };

export const ReportAnswer = z
  .object({
    entities: z.array(ValidationAnswer),
    summary: z.object({
      project_id: word.nullable(),
      ...{ entities: z.int(), shots: z.int(), assets: z.int(), valid: z.int(), invalid: z.int() },
      ...{ tasks: z.int(), inconsistencies: z.int(), by_kind: z.object(kinds) },
    }),
  })
  .meta({
    id: 'ConsistencyReport',
    examples: [
      {
        entities: [valid],
        summary: {
          ...{ project_id: '1', entities: 1, shots: 1, assets: 0, valid: 1, invalid: 0, tasks: 8, inconsistencies: 0 },
          by_kind: noKinds,
        },
      },
    ],
  });

export const HealthAnswer = z
  .object({
    status: z.enum(['healthy', 'degraded', 'unhealthy']),
    project_id: word.nullable(),
    ...{ inconsistent_entities: z.int(), pending_propagations: z.int(), parked_propagations: z.int() },
    ...{ oldest_pending_seconds: z.number(), projection_lag_seconds: z.number() },
    ...{ projection_error: word.nullable(), last_propagation: time().nullable(), ...moment },
  })
  .meta({
    id: 'ConsistencyHealth',
    examples: [
      {
        ...{ status: 'healthy', project_id: null, inconsistent_entities: 0, pending_propagations: 0 },
        ...{ parked_propagations: 0, oldest_pending_seconds: 0, projection_lag_seconds: 0, projection_error: null },
        ...{ last_propagation: null, ...ofMoment },
      },
    ],
  });

const propagation = {
  ...{
    task_id: word,
    ...entity,
    old_status: word,
    new_status: word,
    consistency_valid: z.boolean(),
    timestamp: time(),
  },
};
const propagated = {
  ...{ task_id: '7', ...example, old_status: 'wip', new_status: 'done', consistency_valid: true },
  timestamp: '2026-11-20T09:30:00.123Z',
};

export const PropagationAnswer = z.object(propagation).meta({ id: 'Propagation', examples: [propagated] });
export const PropagationList = listOf('PropagationList', z.object(propagation), propagated);

export const RepairBody = body({
  entities: z
    .array(body({ entity_type: entityType, entity_id: recordId() }))
    .min(1)
    .max(MAX_ENTITIES)
    .optional(),
  project_id: recordId().optional(),
  dry_run: z.boolean().default(true).meta({ description: 'Only say what would be mended; true unless given' }),
  reason: word.max(1_000).optional().meta({ description: 'Becomes the comment of the change' }),
})
  .refine(({ entities, project_id }) => (entities === undefined) !== (project_id === undefined), {
    ...{ path: ['entities'], message: 'give either entities or project_id' },
  })
  .meta({ id: 'RepairConsistency', examples: [{ project_id: '7', dry_run: true }] });

const repaired = z.array(z.object({ ...entity, inconsistencies: z.array(Inconsistency) }));

export const RepairAnswer = z
  .object({
    ...{ dry_run: z.boolean(), tid: tid().nullable() },
    repaired: repaired.meta({ description: 'What was mended; of a dry run, what would be' }),
    remaining: repaired.meta({ description: 'What no repair of the projection mends' }),
  })
  .meta({
    id: 'ConsistencyRepair',
    examples: [{ dry_run: true, tid: null, repaired: [{ ...example, inconsistencies: [wrong] }], remaining: [] }],
  });

const ruled = { task_type: word, entity_type: entityType.optional() };
const no = z
  .union([body({ ...ruled, done_before: word }), body({ ...ruled, begun_before: word })], {
    error: 'must be {task_type, done_before} or {task_type, begun_before}, with entity_type if it is for one only',
  })
  .meta({ description: 'No task of that type may be done, or begun, before those of the other type are done' });
const Rule = body({ no }).meta({ id: 'ProjectRule' });
const rules = [{ no: { task_type: 'comp', done_before: 'layout' } }];

export const RulesBody = body({ rules: z.array(Rule).max(MAX_RULES) }).meta({
  id: 'SetProjectRules',
  examples: [{ rules }],
});
export const RulesAnswer = z
  .object({ project_id: word, rules: z.array(Rule) })
  .meta({ id: 'ProjectRules', examples: [{ project_id: '7', rules }] });
