import type { Queryable } from '#libs/database';
import type { EntityScope } from './consistency.queries.ts';
import { entityTaskStatusProjection } from './entity-task-status.projection.ts';
import { PROPAGATION } from './propagation.ts';
import { shownMoment } from './record.queries.ts';

/** Counters of how a project, or all, is doing; nothing is validated for them. Each stops at 1,000. */
export interface HealthCounters {
  /** Entities that were inconsistent when they were last validated. */
  readonly inconsistent_entities: number;
  /** Changes of statuses that were not validated yet. */
  readonly pending_propagations: number;
  /** Those that are not tried again by themselves. */
  readonly parked_propagations: number;
  /** For how long the oldest that is pending has waited. */
  readonly oldest_pending_seconds: number;
  /** For how long the oldest change of a task has waited for the projection. */
  readonly projection_lag_seconds: number;
  /** Why the projection cannot be kept current. */
  readonly projection_error: string | null;
  readonly projection_tid: number;
  readonly head_tid: number;
  readonly last_propagation: string | null;
  readonly checked_at: string;
}

export type HealthStatus = 'healthy' | 'degraded' | 'unhealthy';

/** From which on something counts. docs/consistency.md tells them. */
export const THRESHOLDS = {
  degraded: {
    inconsistent_entities: 1,
    parked_propagations: 1,
    oldest_pending_seconds: 10,
    projection_lag_seconds: 10,
  },
  unhealthy: {
    inconsistent_entities: 10,
    parked_propagations: 10,
    oldest_pending_seconds: 60,
    projection_lag_seconds: 60,
  },
} as const;

export function judgeHealth(counters: HealthCounters): HealthStatus {
  const over = (limits: Readonly<Record<string, number>>) =>
    Object.entries(limits).some(([name, limit]) => Number(counters[name as keyof HealthCounters]) >= limit);
  if (counters.projection_tid > counters.head_tid || over(THRESHOLDS.unhealthy)) return 'unhealthy';
  return counters.projection_error !== null || over(THRESHOLDS.degraded) ? 'degraded' : 'healthy';
}

const THERE = `(EXISTS (SELECT FROM shot s WHERE x.entity_type = 'shot' AND s.id = x.entity_id)
  OR EXISTS (SELECT FROM asset a WHERE x.entity_type = 'asset' AND a.id = x.entity_id)
  OR EXISTS (SELECT FROM entity_task_status e WHERE e.entity_type = x.entity_type AND e.entity_id = x.entity_id))`;

/** One statement that looks at no more than 1,000 rows of anything. Findings of entities that are gone altogether do not count. */
export async function readHealth(db: Queryable, { project_id, readable }: EntityScope): Promise<HealthCounters> {
  const seconds = (since: string) => `greatest(0, coalesce(extract(epoch FROM now() - min(${since})), 0))::float8`;
  const ofTasks = `($2::text[] IS NULL OR EXISTS (SELECT FROM task t WHERE t.id = x.id::bigint AND (t.project_id::text = ANY ($2)) = $3))`;
  const ofProject = '($2::text[] IS NULL OR (x.project_id::text = ANY ($2)) = $3)';
  const open = `SELECT x.created FROM (
      SELECT e.id, e.created FROM tidemark.effects e WHERE e.listener = $1 AND e.state IN ('pending', 'failed')
      UNION ALL
      SELECT j.id, j.time FROM (
          SELECT tid, id, time, change FROM task_journal
            WHERE tid > (SELECT tid FROM tidemark.listener_positions WHERE listener = $1) ORDER BY tid LIMIT 1000
        ) j WHERE j.change = 'MODIFY' AND EXISTS (SELECT FROM task_history h WHERE h.tid = j.tid AND h.id = j.id AND h.field = 'status')
          AND NOT EXISTS (SELECT FROM tidemark.effects e WHERE e.listener = $1 AND e.tid = j.tid AND e.resource = 'task' AND e.id = j.id)
    ) x WHERE ${ofTasks} LIMIT 1000`;
  const { rows } = await db.query<HealthCounters>(
    `WITH open AS MATERIALIZED (${open}), late AS MATERIALIZED (
         SELECT j.time FROM task_journal j WHERE j.tid > (SELECT tid FROM tidemark.projections WHERE name = $4) ORDER BY j.tid LIMIT 1
       )
     SELECT (SELECT count(*)::int FROM (SELECT FROM inconsistent_entity x WHERE ${ofProject} AND ${THERE} LIMIT 1000) x) AS inconsistent_entities,
       (SELECT count(*)::int FROM open) AS pending_propagations,
       (SELECT count(*)::int FROM (
          SELECT FROM tidemark.effects x WHERE x.listener = $1 AND x.state = 'parked' AND ${ofTasks} LIMIT 1000) x) AS parked_propagations,
       (SELECT ${seconds('created')} FROM open) AS oldest_pending_seconds,
       (SELECT ${seconds('time')} FROM late) AS projection_lag_seconds,
       p.error AS projection_error, coalesce(p.tid, 0) AS projection_tid, (SELECT head FROM tidemark.frontier()) AS head_tid,
       (SELECT ${shownMoment('x.timestamp')} FROM propagation x WHERE ${ofProject} ORDER BY x.id DESC LIMIT 1) AS last_propagation,
       ${shownMoment('now()')} AS checked_at
     FROM (SELECT $4::text AS name) n LEFT JOIN tidemark.projections p ON p.name = n.name`,
    [PROPAGATION, ...scopeOf({ project_id, readable }), entityTaskStatusProjection.name],
    'tidemark_consistency_health',
  );
  return rows[0] as HealthCounters;
}

/** Null, when it is about everything; else projects, and whether it is about these or all others. */
export function scopeOf({ project_id, readable }: EntityScope): [readonly string[] | null, boolean] {
  if (project_id !== undefined) return [[project_id], true];
  return readable.kind === 'all but' && readable.projects.length === 0
    ? [null, false]
    : [readable.projects, readable.kind === 'only'];
}
