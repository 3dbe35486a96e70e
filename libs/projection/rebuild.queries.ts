import { type DatabaseError, KernelError, type Queryable } from '#libs/database';

/** How far a rebuild under way has come. */
export interface RebuildRow {
  /** The tid that its tables reflect, when `done`: else from which on they are to follow. */
  readonly tid: number;
  /** The key up to which the source rows are read. */
  readonly scanned: string[] | null;
  readonly done: boolean;
}

/** At most one process rebuilds a projection: holds until the connection ends. */
export async function lockRebuild(connection: Queryable, name: string): Promise<boolean> {
  const { rows } = await connection.query<{ locked: boolean }>(
    `SELECT pg_try_advisory_lock(hashtext('tidemark rebuild'), hashtext($1)) AS locked`,
    [name],
  );
  return rows[0]?.locked === true;
}

/** Something depends on the tables that would be lost with them. */
const DEPENDED_ON = '55000';

/** Makes the tables, or leaves those of a rebuild of this version that was interrupted. */
export async function beginRebuild(
  db: Queryable,
  name: string,
  { version, tid, done, anew }: { version: number; tid: number; done: boolean; anew: boolean },
): Promise<void> {
  try {
    await db.query('SELECT tidemark.begin_rebuild($1, $2, $3, $4, $5)', [name, version, tid, done, anew]);
    await db.query('SELECT tidemark.rekey_rebuild($1)', [name]);
  } catch (error) {
    const { code, message } = error as DatabaseError;
    throw code === DEPENDED_ON ? new KernelError('conflict', message, { cause: error }) : error;
  }
}

export async function readRebuild(db: Queryable, name: string): Promise<RebuildRow> {
  const { rows } = await db.query<RebuildRow>(
    'SELECT tid, scanned, done FROM tidemark.projection_rebuilds WHERE name = $1',
    [name],
  );
  return rows[0] ?? elsewhere(name);
}

/** Says how far it has come, in the transaction that has brought it there. Throws `conflict` when another process has meanwhile done so. */
export async function moveRebuild(db: Queryable, name: string, from: RebuildRow, to: RebuildRow): Promise<void> {
  const { rowCount } = await db.query(
    `UPDATE tidemark.projection_rebuilds SET tid = $2, scanned = $3, done = $4
       WHERE name = $1 AND tid = $5 AND scanned IS NOT DISTINCT FROM $6 AND done = $7`,
    [name, to.tid, to.scanned, to.done, from.tid, from.scanned, from.done],
  );
  if (rowCount === 0) elsewhere(name);
}

// The lock has gone with its connection, while the others were left.
function elsewhere(name: string): never {
  throw new KernelError('conflict', `another process goes on with the rebuild of ${name}`);
}

const WAIT_BRIEFLY = `SELECT set_config('lock_timeout', '250ms', true)`;

/** Lets nobody write to tables until the end of the transaction. 55P03 when somebody does for longer than this waits. */
export async function holdWriters(tx: Queryable, tables: readonly string[]): Promise<void> {
  await tx.query(WAIT_BRIEFLY);
  await tx.query(`LOCK TABLE ${tables.join(', ')} IN SHARE MODE`);
}

/** Puts the new tables in the place of the old. 55P03 when somebody reads those for longer than this waits. */
export async function finishRebuild(tx: Queryable, name: string): Promise<void> {
  await tx.query(WAIT_BRIEFLY);
  await tx.query('SELECT tidemark.finish_rebuild($1)', [name]);
}

export async function dropRebuild(db: Queryable, name: string): Promise<void> {
  await db.query('SELECT tidemark.drop_rebuild($1)', [name]);
}

/** The first rows in which two tables differ: as JSON, as text. The live one may hold a row twice; a copy is a row of its own. */
export async function differingRows(
  tx: Queryable,
  { live, rebuilt, key, limit }: { live: string; rebuilt: string; key: readonly string[]; limit: number },
): Promise<{ id: string; expected: string | null; actual: string | null; copy: number }[]> {
  const same = key.map((column) => `r.${column} = l.${column}`).join(' AND ');
  const { rows } = await tx.query<{ id: string; expected: string | null; actual: string | null; copy: number }>(
    `SELECT json_build_array(${key.map((column) => `coalesce(r.${column}, l.${column})`).join(', ')})::text AS id,
         CASE WHEN r.${key[0]} IS NOT NULL THEN to_jsonb(r)::text END AS expected,
         CASE WHEN l.${key[0]} IS NOT NULL THEN (to_jsonb(l) - 'copy')::text END AS actual, coalesce(l.copy, 1)::int AS copy
       FROM ${rebuilt} r
       FULL JOIN (SELECT t.*, row_number() OVER (PARTITION BY ${key.join(', ')}) AS copy FROM ${live} t) l ON ${same}
       WHERE r.${key[0]} IS NULL OR l.${key[0]} IS NULL OR l.copy > 1 OR to_jsonb(r) <> to_jsonb(l) - 'copy' ORDER BY 1 LIMIT $1`,
    [limit],
  );
  return rows;
}
