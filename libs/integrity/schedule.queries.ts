import type { Queryable } from '#libs/database';

/** What runs: the daily run over everything, or the one that never ends. */
export type Run = 'full' | 'sample';

/** The schedule, held until the end of the transaction by this process alone. */
export interface HeldSchedule {
  /** Milliseconds until the next page may be looked at. */
  readonly wait: number;
  readonly full: 'due' | 'running' | 'over';
}

/** Takes the schedule, if no other process has it. */
export async function holdSchedule(tx: Queryable): Promise<HeldSchedule | undefined> {
  const { rows } = await tx.query<HeldSchedule>(
    `SELECT (extract(epoch FROM due - clock_timestamp()) * 1000)::float8 AS wait,
         CASE WHEN full_started IS NULL THEN 'due' WHEN full_finished IS NULL THEN 'running'
           WHEN full_started < clock_timestamp() - interval '1 day' THEN 'due' ELSE 'over' END AS full
       FROM tidemark.check_schedule FOR UPDATE SKIP LOCKED`,
  );
  return rows[0];
}

export async function beginFull(tx: Queryable): Promise<void> {
  await tx.query('UPDATE tidemark.check_schedule SET full_started = clock_timestamp(), full_finished = NULL');
  await tx.query(`DELETE FROM tidemark.check_positions WHERE run = 'full'`);
}

export async function finishFull(tx: Queryable): Promise<void> {
  await tx.query('UPDATE tidemark.check_schedule SET full_finished = clock_timestamp()');
}

/** When the next page may be looked at. */
export async function setDue(tx: Queryable, milliseconds: number): Promise<void> {
  await tx.query(`UPDATE tidemark.check_schedule SET due = clock_timestamp() + $1 * interval '1 millisecond'`, [
    milliseconds,
  ]);
}

/** How far a check has come in a run. */
export interface CheckPosition {
  readonly run: Run;
  readonly check_name: string;
  readonly resource: string;
  readonly place: string | null;
  readonly done: boolean;
  readonly rows: number;
  readonly error: string | null;
}

/** The positions of a run, those first that were not looked at for longest. */
export async function selectPositions(db: Queryable, run: Run): Promise<CheckPosition[]> {
  const { rows } = await db.query<CheckPosition>(
    'SELECT run, check_name, resource, place, done, rows, error FROM tidemark.check_positions WHERE run = $1 ORDER BY looked',
    [run],
  );
  return rows;
}

export async function movePosition(
  tx: Queryable,
  { run, check_name, resource, place, done, rows, error }: CheckPosition,
): Promise<void> {
  await tx.query(
    `INSERT INTO tidemark.check_positions AS p (run, check_name, resource, place, done, rows, error, looked)
       VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp())
       ON CONFLICT (run, check_name, resource) DO UPDATE
         SET place = excluded.place, done = excluded.done, rows = p.rows + excluded.rows, error = excluded.error, looked = excluded.looked`,
    [run, check_name, resource, place, done, rows, error],
  );
}
