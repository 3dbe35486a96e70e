import { type ConnectionSource, type Queryable, runInTransaction, SNAPSHOT } from '#libs/database';
import type { Rules } from '#libs/integrity';
import {
  type AskedEntity,
  enterFindings,
  journaledOf,
  journaledStatuses,
  keyOf,
  type Moment,
  readEntities,
  readMoment,
  readStored,
  waitingEntities,
} from './consistency.queries.ts';
import type { EntityKey, Inconsistency } from './consistency.ts';
import { type EntityTaskStatus, type EntityType, entityTaskStatus } from './entity-task-status.projection.ts';
import { compareAll, type Journaled, shownOnly } from './journaled-entity.ts';
import { judgeEntity } from './judge-entity.ts';
import { brokenRules, type ProjectRule } from './project-rules.ts';
import { statusKinds } from './task.queries.ts';

/** Whether what is shown of an entity is what its tasks, their journal and the rules for it say, in one snapshot. */
export interface Validation extends EntityKey, Moment {
  readonly valid: boolean;
  readonly inconsistencies: readonly Inconsistency[];
  readonly task_count: number;
}

/** A validation with what it is judged and kept by. */
export interface Validated {
  readonly validation: Validation;
  /** Null: there is no such entity. */
  readonly project_id: string | null;
  /** It was found inconsistent by an earlier one. */
  readonly known: boolean;
}

/** For whom something is validated: who waits for the answer, a report or a repair that goes through all, or a change of a status. */
export type AskedBy = 'request' | 'report' | 'propagation';

/** What validates: a kernel, say. */
export interface Validating {
  readonly database: ConnectionSource & Queryable;
  /** The rules that are code. */
  readonly rules: Rules;
  /** Told of each validation that has come to its verdicts, however many, and how long that took. */
  validated?(by: AskedBy, seconds: number): void;
}

export interface ValidateOptions {
  /** `request` unless given. */
  readonly by?: AskedBy;
  /** Milliseconds for which differences that changes under way explain are looked at again; 2,000 unless given. */
  readonly patience?: number;
}

const PATIENCE = 2_000;
const LOOK_AGAIN = 20;

/**
 * Validates entities in the order asked, those that do not exist, too. Each snapshot takes a constant number of statements. Entities that
 * differ by changes the projection has not applied yet are looked at again for a while: a write that goes on is no inconsistency. What was
 * found is entered for health.
 */
export async function validateEntities(
  validating: Validating,
  entities: readonly EntityKey[],
  { by = 'request', patience = PATIENCE }: ValidateOptions = {},
): Promise<Validated[]> {
  const start = performance.now();
  const end = start + patience;
  const found = new Map<string, Validated>();
  for (let open = [...new Map(entities.map((key) => [keyOf(key), key])).values()]; open.length > 0; ) {
    for (const one of await validateOnce(validating, open)) found.set(keyOf(one.validation), one);
    open = open.filter((key) => (found.get(keyOf(key)) as Validated).validation.inconsistencies.some(isStale));
    if (performance.now() >= end) break;
    if (open.length > 0) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
  }
  await enter(validating.database, [...found.values()]);
  validating.validated?.(by, (performance.now() - start) / 1_000);
  return entities.map((key) => found.get(keyOf(key)) as Validated);
}

/** Whether something is wrong that no change under way explains. */
export function isDamaged({ inconsistencies }: Pick<Validation, 'inconsistencies'>): boolean {
  return inconsistencies.some((one) => !isStale(one));
}

function isStale({ kind }: Inconsistency): boolean {
  return kind === 'stale';
}

function validateOnce({ database, rules }: Validating, entities: readonly EntityKey[]): Promise<Validated[]> {
  return runInTransaction(
    database,
    async (tx) => {
      const moment = await readMoment(tx);
      const asked = await readEntities(tx, entities);
      const expected = await readExpected(tx, asked);
      const stored = await readStored(tx, asked);
      const journaled = await readJournaled(tx, asked, expected, stored);
      const ruled = rules.all.length > 0 || asked.some((entity) => entity.rules !== null);
      const kinds = ruled ? await statusKinds(tx) : new Map();
      const differing = new Map(
        asked.map((entity) => {
          const should = expected.get(keyOf(entity)) as EntityTaskStatus;
          const broken = brokenRules(entity.entity_type, (entity.rules ?? []) as ProjectRule[], should, kinds);
          const { shown, past } = compareAll(
            should,
            stored.get(keyOf(entity)) ?? [],
            journaled.get(keyOf(entity)) as Journaled,
          );
          const judged = judgeEntity(rules, entity, should, kinds);
          return [keyOf(entity), { shown, rest: [...past, ...broken, ...judged] }];
        }),
      );
      const late = [...differing.values()].some(({ shown }) => shown.length > 0);
      const waiting = late ? await waitingEntities(tx, moment.projection_tid) : new Set();
      return asked.map(({ project_id, open, entity_type, entity_id }) => {
        const key = keyOf({ entity_type, entity_id });
        const { shown, rest } = differing.get(key) as Record<'shown' | 'rest', readonly Inconsistency[]>;
        const explained = waiting.has(key) ? shown.map((one) => ({ ...one, kind: 'stale' as const })) : shown;
        const inconsistencies = [...explained, ...rest];
        const task_count = (expected.get(key) as EntityTaskStatus).task_details.length;
        const valid = inconsistencies.length === 0;
        return {
          validation: { entity_type, entity_id, valid, inconsistencies, task_count, ...moment },
          ...{ project_id, known: open },
        };
      });
    },
    SNAPSHOT,
  );
}

async function readExpected(tx: Queryable, entities: readonly AskedEntity[]): Promise<Map<string, EntityTaskStatus>> {
  const expected = new Map<string, EntityTaskStatus>();
  for (const type of ['shot', 'asset'] satisfies EntityType[]) {
    const ids = entities.flatMap(({ entity_type, entity_id }) => (entity_type === type ? [entity_id] : []));
    if (ids.length === 0) continue;
    for (const [entity_id, one] of await entityTaskStatus(tx, type, ids)) {
      expected.set(keyOf({ entity_type: type, entity_id }), one);
    }
  }
  return expected;
}

/** What the journal says of the tasks of each entity, and of those that are only shown of it. */
async function readJournaled(
  tx: Queryable,
  entities: readonly EntityKey[],
  expected: ReadonlyMap<string, EntityTaskStatus>,
  stored: ReadonlyMap<string, EntityTaskStatus[]>,
): Promise<ReadonlyMap<string, Journaled>> {
  const present = [...expected.values()].flatMap(({ task_details }) => task_details.map(({ id }) => id));
  const journaled = await journaledStatuses(tx, present);
  const shown = entities.flatMap(({ entity_type, entity_id }) => {
    const key = keyOf({ entity_type, entity_id });
    const ids = shownOnly(expected.get(key) as EntityTaskStatus, stored.get(key) ?? []);
    return ids.map((id) => ({ id, entity_type, entity_id }));
  });
  const lost = Map.groupBy(shown.length === 0 ? [] : await journaledOf(tx, shown), keyOf);
  return new Map(
    entities.map(keyOf).map((key) => {
      const { task_details } = expected.get(key) as EntityTaskStatus;
      const known = task_details.flatMap(({ id }) => {
        const status = journaled.get(id);
        return status === undefined ? [] : [[id, status] as const];
      });
      const gone = (lost.get(key) ?? []).map(({ id, status }) => [id, status] as const);
      return [key, new Map([...known, ...gone])] as const;
    }),
  );
}

/** Nothing is written of what was, and is, consistent. */
async function enter(db: Queryable, found: readonly Validated[]): Promise<void> {
  const changed = found.filter(({ known, validation }) => known || isDamaged(validation));
  if (changed.length === 0) return;
  await enterFindings(
    db,
    changed.map(({ project_id, validation: { entity_type, entity_id, inconsistencies, checked_at } }) => {
      const count = inconsistencies.filter((one) => !isStale(one)).length;
      return { entity_type, entity_id, project_id, inconsistencies: count, checked_at };
    }),
  );
}
