import type { Queryable } from '#libs/database';
import { type Projection, sourcesOf } from './projection.ts';

/** How a projection stands. */
export interface ProjectionRow {
  readonly name: string;
  /** Of the definition that has made its rows; 0 while there are none. */
  readonly version: number;
  /** Its checkpoint: the rows reflect every change up to it. */
  readonly tid: number;
  /** Changes after the checkpoint that it follows, counted up to a limit, and the milliseconds since the oldest of them. */
  readonly lag_rows: number;
  readonly lag_ms: number;
  /** The origin of the living process that has moved the checkpoint last: it may be another one's turn next. */
  readonly owner: string | null;
  /** Whether it cannot be kept current, since when, and of what it fails. */
  readonly failing: boolean;
  readonly failed: string | null;
  readonly error: string | null;
  /** How far a rebuild under way, or interrupted, has come: a tid. */
  readonly rebuilding: number | null;
}

/** What is counted is counted up to here, however much there is. */
export const COUNTED = 10_000;

/** All projections that migrations have registered, by name. What follows one that is not among the known is not known: every change counts. */
export async function listProjections(db: Queryable, known: readonly Projection[] = []): Promise<ProjectionRow[]> {
  const sources = known.map((projection) => [projection.name, sourcesOf(projection).map(({ name }) => name)]);
  const { rows } = await db.query<ProjectionRow>(
    `SELECT p.name, p.version, p.tid, lag.rows AS lag_rows, lag.ms AS lag_ms, o.origin::text AS owner,
         p.error IS NOT NULL AS failing, to_json(p.failed) #>> '{}' AS failed, p.error, r.tid AS rebuilding
       FROM tidemark.projections p
       LEFT JOIN tidemark.projection_rebuilds r ON r.name = p.name
       LEFT JOIN tidemark.processes o ON o.origin = p.origin AND o.leased_until > now()
       CROSS JOIN LATERAL (SELECT array(SELECT jsonb_array_elements_text($1::jsonb -> p.name)) AS resources) s
       CROSS JOIN LATERAL (
         SELECT count(*)::int AS rows,
             coalesce(greatest(0, round(extract(epoch FROM clock_timestamp() - (array_agg(w.time ORDER BY w.tid))[1]) * 1000)), 0)::float8 AS ms
           FROM (
             SELECT j.tid, j.time FROM tidemark.journal j
               WHERE j.tid > p.tid AND (NOT $1::jsonb ? p.name OR j.resource = ANY (s.resources)) ORDER BY j.tid LIMIT $2
           ) w
       ) lag
       ORDER BY p.name`,
    [JSON.stringify(Object.fromEntries(sources)), COUNTED],
  );
  return rows;
}
