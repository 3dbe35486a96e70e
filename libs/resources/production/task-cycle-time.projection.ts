import type { Queryable } from '#libs/database';
import { type JournalEntry, utc } from '#libs/journal';
import { defineProjection, type FoldProjection } from '#libs/projection';
import { task } from './records.ts';

/** Where a task is, and since when, by the times of its changes in the journal. */
interface Position {
  readonly task_id: string;
  project_id: string;
  task_type: string;
  status: string;
  since: string;
}

interface Stay {
  readonly project_id: string;
  readonly task_type: string;
  readonly status: string;
  visits: number;
  milliseconds: number;
}

/**
 * For how long tasks of a type were at a status until they left it, and how often: what only the journal knows. Times are those of the
 * changes, not of comments. A task that is deleted leaves its status then.
 */
export const taskCycleTimeProjection = defineProjection<FoldProjection>({
  ...{ kind: 'fold', name: 'task_cycle_time', version: 1, tables: ['task_cycle_time', 'task_cycle_position'] },
  sources: [task.resource],
  async apply(db, changes, table) {
    const moves = changes.filter(
      ({ change, values }) => change !== 'MODIFY' || FIELDS.some((name) => Object.hasOwn(values, name)),
    );
    if (moves.length === 0) return;
    const ids = [...new Set(moves.map(({ id }) => id))];
    const positions = await readPositions(db, table('task_cycle_position'), ids);
    const stays = stayed(positions, moves);
    await addStays(db, table('task_cycle_time'), stays);
    await writePositions(db, table('task_cycle_position'), ids, [...positions.values()]);
  },
});

const FIELDS = ['project_id', 'task_type', 'status'] as const;

/** What the changes add, and in `positions` where they leave the tasks. */
function stayed(positions: Map<string, Position>, moves: readonly JournalEntry[]): Stay[] {
  const stays = new Map<string, Stay>();
  for (const { id, change, values, time } of moves) {
    const before = positions.get(id);
    // times are not monotone along the journal
    const at = before && before.since > time ? before.since : time;
    if (before) addStay(stays, before, at);
    const said = FIELDS.flatMap((name) => (Object.hasOwn(values, name) ? [[name, String(values[name])]] : []));
    const now: Partial<Position> = { ...before, ...Object.fromEntries(said), task_id: id, since: at };
    if (change !== 'DELETE' && isWhole(now)) positions.set(id, now);
    else positions.delete(id);
  }
  return [...stays.values()];
}

/** A journal that has lost values, by whatever accident, does not tell where a task was: then nothing is added. */
function isWhole(position: Partial<Position>): position is Position {
  return FIELDS.every((name) => position[name] !== undefined);
}

function addStay(stays: Map<string, Stay>, { project_id, task_type, status, since }: Position, until: string): void {
  const place = JSON.stringify([project_id, task_type, status]);
  const stay = stays.get(place) ?? { project_id, task_type, status, visits: 0, milliseconds: 0 };
  stay.visits += 1;
  stay.milliseconds += Date.parse(until) - Date.parse(since);
  stays.set(place, stay);
}

async function readPositions(db: Queryable, table: string, ids: readonly string[]): Promise<Map<string, Position>> {
  const { rows } = await db.query<Position>(
    `SELECT task_id::text AS task_id, project_id::text AS project_id, task_type, status,
         ${utc('since')} AS since
       FROM ${table} WHERE task_id = ANY ($1::bigint[])`,
    [ids],
  );
  return new Map(rows.map((row) => [row.task_id, row]));
}

async function addStays(db: Queryable, table: string, stays: readonly Stay[]): Promise<void> {
  if (stays.length === 0) return;
  await db.query(
    `INSERT INTO ${table} AS c (project_id, task_type, status, visits, milliseconds)
       SELECT project_id, task_type, status, visits, milliseconds FROM jsonb_to_recordset($1::jsonb)
         s(project_id bigint, task_type text, status text, visits integer, milliseconds bigint)
       ON CONFLICT (project_id, task_type, status)
         DO UPDATE SET visits = c.visits + excluded.visits, milliseconds = c.milliseconds + excluded.milliseconds`,
    [JSON.stringify(stays)],
  );
}

async function writePositions(
  db: Queryable,
  table: string,
  ids: readonly string[],
  positions: readonly Position[],
): Promise<void> {
  const there = new Set(positions.map(({ task_id }) => task_id));
  const gone = ids.filter((id) => !there.has(id));
  if (gone.length > 0) await db.query(`DELETE FROM ${table} WHERE task_id = ANY ($1::bigint[])`, [gone]);
  if (positions.length === 0) return;
  await db.query(
    `INSERT INTO ${table} (task_id, project_id, task_type, status, since)
       SELECT task_id, project_id, task_type, status, since FROM jsonb_to_recordset($1::jsonb)
         p(task_id bigint, project_id bigint, task_type text, status text, since timestamptz)
       ON CONFLICT (task_id) DO UPDATE SET project_id = excluded.project_id, task_type = excluded.task_type,
         status = excluded.status, since = excluded.since`,
    [JSON.stringify(positions)],
  );
}
