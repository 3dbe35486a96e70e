import type { Queryable } from '#libs/database';

/** How often tasks went from one status to another, from their comments alone. */
export async function countTransitions(db: Queryable): Promise<Map<string, number>> {
  const { rows } = await db.query<{ name: string; count: number }>(
    `SELECT before || ' → ' || status AS name, count(*)::int AS count
       FROM (SELECT c.status, lag(c.status, 1, t.initial_status) OVER (PARTITION BY t.id ORDER BY c.date, c.number) AS before
               FROM task t JOIN task_comment c ON c.task_id = t.id WHERE c.status IS NOT NULL) AS step
      WHERE before <> status GROUP BY 1`,
  );
  return new Map(rows.map(({ name, count }) => [name, count]));
}

/** How many changes of a task's status the journal holds, without those that made the tasks. */
export async function countJournaled(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM tidemark.history h JOIN tidemark.journal j USING (resource, tid, id)
      WHERE h.resource = 'task' AND h.field = 'status' AND j.change = 'MODIFY'`,
  );
  return (rows[0] as { count: number }).count;
}

/** How many tasks of each type are at each status, as `type status`. */
export async function countTasks(db: Queryable): Promise<Map<string, number>> {
  const { rows } = await db.query<{ name: string; count: number }>(
    `SELECT task_type || ' ' || status AS name, count(*)::int AS count FROM task GROUP BY 1`,
  );
  return new Map(rows.map(({ name, count }) => [name, count]));
}

/** The shots of which the projection does not say what their tasks say. Each has one task of a type here. */
export async function shotsThatDiffer(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT s.id::text AS id FROM shot s
       LEFT JOIN entity_task_status e ON e.entity_type = 'shot' AND e.entity_id = s.id
      WHERE e.task_status IS DISTINCT FROM
            (SELECT jsonb_object_agg(t.task_type, t.status) FROM task t WHERE t.entity_type = 'shot' AND t.entity_id = s.id)
      ORDER BY s.id`,
  );
  return rows.map(({ id }) => id);
}

/** Puts another status into the projection's row of a shot, as nobody should. */
export async function damageShot(db: Queryable, shot: string, type: string): Promise<void> {
  await db.query(
    `UPDATE entity_task_status SET task_status = task_status || jsonb_build_object($2::text, 'retaken by nobody')
      WHERE entity_type = 'shot' AND entity_id = $1`,
    [shot, type],
  );
}
