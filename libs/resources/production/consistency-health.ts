import type { Queryable } from '#libs/database';
import type { EntityScope } from './consistency.queries.ts';
import { entityTaskStatusProjection } from './entity-task-status.projection.ts';
import { PROPAGATION } from './propagation.ts';
import { shownMoment } from './record.queries.ts';
import { parseId } from './record-kind.ts';
import { project } from './records.ts';

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

/** How many effects are looked at for a project: an effect does not know of which one it is. */
const LOOKED = 10_000;

/** Which projects count ($2), as a condition. */
const WITHIN = {
  all: () => '$2::bigint[] IS NULL',
  only: (project: string) => `${project} = ANY ($2::bigint[])`,
  'all but': (project: string) => `${project} <> ALL ($2::bigint[])`,
};

/**
 * The propagations among which the last one is: of some projects the last of each. With an equality the planner may go back through those
 * of all projects until one is of the project.
 */
const LATEST = {
  all: 'propagation x',
  only: `unnest($2::bigint[]) p(id) CROSS JOIN LATERAL (
    SELECT l.id, l.project_id, l."timestamp" FROM propagation l
      WHERE l.project_id BETWEEN p.id AND p.id ORDER BY l.project_id DESC, l.id DESC LIMIT 1) x`,
  'all but': 'propagation x',
};

// Each looks up one row: as EXISTS they would be made into joins, or hashes, of whole tables.
const THERE = `coalesce(
  (SELECT 1 FROM shot s WHERE x.entity_type = 'shot' AND s.id = x.entity_id),
  (SELECT 1 FROM asset a WHERE x.entity_type = 'asset' AND a.id = x.entity_id),
  (SELECT 1 FROM entity_task_status e WHERE e.entity_type = x.entity_type AND e.entity_id = x.entity_id LIMIT 1)) IS NOT NULL`;
const OF_STATUS = `(SELECT true FROM task_history h WHERE h.tid = j.tid AND h.id = j.id AND h.field = 'status')`;
const ENTERED = `(SELECT true FROM tidemark.effects e WHERE (e.listener, e.tid, e.resource, e.id) = ($1, j.tid, 'task', j.id))`;
const PROJECT = '(SELECT t.project_id FROM task t WHERE t.id = x.id::bigint)';

const seconds = (since: string) => `greatest(0, coalesce(extract(epoch FROM now() - min(${since})), 0))::float8`;

/** One statement that looks at few rows of anything, by index. Findings of entities that are gone altogether do not count. */
export async function readHealth(db: Queryable, scope: EntityScope): Promise<HealthCounters> {
  const { kind, projects } = chosen(scope);
  const within = WITHIN[kind];
  const open = `SELECT x.created FROM (
      (SELECT e.id, e.created FROM tidemark.effects e
         WHERE e.listener = $1 AND e.state IN ('pending', 'failed') ORDER BY e.due LIMIT ${LOOKED})
      UNION ALL
      SELECT j.id, j.time FROM (
          SELECT tid, id, time, change FROM task_journal
            WHERE tid > (SELECT tid FROM tidemark.listener_positions WHERE listener = $1) ORDER BY tid LIMIT 1000
        ) j WHERE j.change = 'MODIFY' AND ${OF_STATUS} AND ${ENTERED} IS NULL
    ) x WHERE ${within(PROJECT)} LIMIT 1000`;
  const parked = `SELECT e.id FROM tidemark.effects e WHERE e.listener = $1 AND e.state = 'parked' ORDER BY e.tid LIMIT ${LOOKED}`;
  const { rows } = await db.query<HealthCounters>(
    `WITH open AS MATERIALIZED (${open}), late AS MATERIALIZED (
         SELECT j.time FROM task_journal j WHERE j.tid > (SELECT tid FROM tidemark.projections WHERE name = $3) ORDER BY j.tid LIMIT 1
       )
     SELECT (SELECT count(*)::int FROM (
          SELECT FROM inconsistent_entity x WHERE ${within('x.project_id')} AND ${THERE} LIMIT 1000) x) AS inconsistent_entities,
       (SELECT count(*)::int FROM open) AS pending_propagations,
       (SELECT count(*)::int FROM (SELECT FROM (${parked}) x WHERE ${within(PROJECT)} LIMIT 1000) x) AS parked_propagations,
       (SELECT ${seconds('created')} FROM open) AS oldest_pending_seconds,
       (SELECT ${seconds('time')} FROM late) AS projection_lag_seconds,
       p.error AS projection_error, coalesce(p.tid, 0) AS projection_tid, (SELECT head FROM tidemark.frontier()) AS head_tid,
       (SELECT ${shownMoment('x.timestamp')} FROM ${LATEST[kind]} WHERE ${within('x.project_id')} ORDER BY x.id DESC LIMIT 1) AS last_propagation,
       ${shownMoment('now()')} AS checked_at
     FROM (SELECT $3::text AS name) n LEFT JOIN tidemark.projections p ON p.name = n.name`,
    [PROPAGATION, projects, entityTaskStatusProjection.name],
    `tidemark_consistency_health_${kind.replace(' ', '_')}`,
  );
  return rows[0] as HealthCounters;
}

function chosen({ project_id, readable }: EntityScope): { kind: keyof typeof WITHIN; projects: string[] | null } {
  if (project_id !== undefined) return { kind: 'only', projects: [project_id] };
  if (readable.kind === 'all but' && readable.projects.length === 0) return { kind: 'all', projects: null };
  // a role may name what is no id of a project
  return { kind: readable.kind, projects: readable.projects.filter((id) => parseId(project, id) !== undefined) };
}
