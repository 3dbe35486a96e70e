import type { Queryable } from '#libs/database';

/** A row just before a tid, and the field that holds its project. */
export interface Before {
  readonly resource: string;
  readonly tid: number;
  readonly id: string;
  readonly field: string;
}

// Walks the row's journal backwards to the last change that touched the field, at most to its CREATE.
const PROJECTS_BEFORE = `
  SELECT b.n, p.value #>> '{}' AS project
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) WITH ORDINALITY b(resource, tid, id, field, n)
    JOIN LATERAL (
      SELECT o.value FROM tidemark.journal j
        LEFT JOIN tidemark.history o ON o.resource = j.resource AND o.tid = j.tid AND o.id = j.id AND o.field = b.field
        WHERE j.resource = b.resource AND j.id = b.id AND j.tid < b.tid AND (o.tid IS NOT NULL OR j.change IN ('CREATE', 'DELETE'))
        ORDER BY j.tid DESC LIMIT 1
    ) p ON true`;

/** The project of each row just before its tid; null where it had none. One statement for all. */
export async function selectProjectsBefore(db: Queryable, rows: readonly Before[]): Promise<(string | null)[]> {
  if (rows.length === 0) return [];
  const { rows: found } = await db.query<{ n: number; project: string | null }>(
    PROJECTS_BEFORE,
    [
      rows.map((row) => row.resource),
      rows.map((row) => row.tid),
      rows.map((row) => row.id),
      rows.map((row) => row.field),
    ],
    'tidemark_projects_before',
  );
  const projects = rows.map((): string | null => null);
  for (const { n, project } of found) projects[Number(n) - 1] = project;
  return projects;
}
