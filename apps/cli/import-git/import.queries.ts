import type { Connection, ListenClient, Queryable } from '#libs/database';
import type { WikiRow } from '#libs/resources';

/** The tables that an import writes by statements of its own. */
export interface ImportTables {
  wiki: WikiRow;
  'tidemark.imports': { root: string; path: string; position: number; commit: string };
}

/** A history as the imports know it: its first commit and the folder that is taken from it. */
export interface History {
  readonly root: string;
  readonly path: string;
}

export interface Imported {
  readonly position: number;
  readonly commit: string;
}

/**
 * The last commit of a history that was imported. Waits for what a killed import has left running in the database: its last
 * commit may still come.
 */
export async function findLastImported(connection: Connection, history: History): Promise<Imported | undefined> {
  await connection.query('BEGIN');
  try {
    await connection.query('LOCK TABLE tidemark.imports IN SHARE MODE');
    const { rows } = await connection.query<Imported>(
      'SELECT position, commit FROM tidemark.imports WHERE root = $1 AND path = $2 ORDER BY position DESC LIMIT 1',
      [history.root, history.path],
    );
    return rows[0];
  } finally {
    await connection.query('ROLLBACK');
  }
}

/** Ids of the living pages among some names. */
export async function findPageIds(db: Queryable, names: readonly string[]): Promise<Map<string, string>> {
  const { rows } = await db.query<{ id: string; name: string }>(
    'SELECT id::text, name FROM wiki WHERE name = ANY ($1)',
    [names],
    'tidemark_import_page_ids',
  );
  return new Map(rows.map((row) => [row.name, row.id]));
}

/**
 * Takes the lock of a history for the session, or returns false when another session has it. The two-part key keeps it apart from the
 * locks by which writers of the journal declare themselves.
 */
export async function tryLockHistory(session: ListenClient, history: History): Promise<boolean> {
  const { rows } = await session.query<{ locked: boolean }>(
    `SELECT pg_try_advisory_lock(29797, hashtext($1 || ' ' || $2)) AS locked`,
    [history.root, history.path],
  );
  return rows[0]?.locked === true;
}
