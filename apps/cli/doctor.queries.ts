import type { Connection, Queryable } from '#libs/database';

export interface TableProblem {
  readonly resource: string;
  readonly relation: string;
  readonly problem: string;
}

/** Journaled tables whose triggers are missing, off, or not what journal_table() would make of them now. */
export async function findTableProblems(db: Queryable): Promise<TableProblem[]> {
  const { rows } = await db.query<TableProblem>(
    'SELECT resource, relation, problem FROM tidemark.table_problems() ORDER BY 1, 3',
  );
  return rows;
}

/** What is wrong with the sequence of tids: each line completes "the sequence tidemark.tid …". */
export async function findSequenceProblems(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ problem: string }>(
    `SELECT p.problem FROM pg_sequence s CROSS JOIN LATERAL (VALUES
         (s.seqcache <> 1, format('hands out %s numbers at a time: ALTER SEQUENCE tidemark.tid CACHE 1', s.seqcache)),
         (s.seqincrement <> 1, format('counts by %s', s.seqincrement)),
         (s.seqcycle, 'begins again when it is used up'),
         ((SELECT f.head FROM tidemark.frontier() f) = 0, 'was reset: its first value must be burnt')
       ) p(found, problem)
       WHERE s.seqrelid = 'tidemark.tid'::regclass AND p.found`,
  );
  return rows.map((row) => row.problem);
}

/** Rights of the program's roles, or of everybody, by which the journal could be changed or a tid drawn. */
export async function findForbiddenRights(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ problem: string }>(
    `WITH roles AS (
       SELECT rolname FROM pg_roles WHERE rolname IN ('tidemark_app', 'tidemark_importer')
     ), journal AS (
       SELECT c.oid FROM pg_class c WHERE c.oid IN ('tidemark.journal'::regclass, 'tidemark.history'::regclass, 'tidemark.epoch'::regclass)
       UNION ALL
       SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent IN ('tidemark.journal'::regclass, 'tidemark.history'::regclass)
     )
     SELECT format('%s may %s %s', r.rolname, p.privilege, j.oid::regclass) AS problem
       FROM roles r CROSS JOIN journal j
       CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) p(privilege)
       WHERE has_table_privilege(r.rolname, j.oid, p.privilege)
     UNION ALL
     SELECT format('%s has %s on the sequence tidemark.tid', r.rolname, p.privilege)
       FROM roles r CROSS JOIN unnest(ARRAY['USAGE', 'UPDATE']) p(privilege)
       WHERE has_sequence_privilege(r.rolname, 'tidemark.tid', p.privilege)
     UNION ALL
     SELECT format('%s may call %s', r.rolname, f.oid::regprocedure)
       FROM roles r CROSS JOIN pg_proc f
       WHERE f.pronamespace = 'tidemark'::regnamespace AND has_function_privilege(r.rolname, f.oid, 'EXECUTE')
         AND (f.proname IN ('draw_tid', 'stamp') OR f.prorettype = 'trigger'::regtype)
     ORDER BY 1`,
  );
  return rows.map((row) => row.problem);
}

/** Functions of the schema with their bodies, but for those that journal_table() generates. */
export async function listFunctionBodies(db: Queryable): Promise<{ name: string; body: string }[]> {
  const { rows } = await db.query<{ name: string; body: string }>(
    `SELECT f.proname AS name, f.prosrc AS body FROM pg_proc f
       WHERE f.pronamespace = 'tidemark'::regnamespace
         AND NOT EXISTS (SELECT FROM tidemark.resources r WHERE f.proname IN ('journal_' || r.resource, 'version_' || r.resource))
       ORDER BY 1`,
  );
  return rows;
}

/** Journaled tables that logical replication writes to: what it applies is not journaled. */
export async function findSubscriptions(db: Queryable): Promise<{ relation: string; subscription: string }[]> {
  const { rows } = await db.query<{ relation: string; subscription: string }>(
    `SELECT r.relation::text AS relation, s.subname::text AS subscription
       FROM tidemark.resources r JOIN pg_subscription_rel sr ON sr.srrelid = r.relation JOIN pg_subscription s ON s.oid = sr.srsubid
       ORDER BY 1, 2`,
  );
  return rows;
}

/** Prepared transactions of this database that are older than a minute. */
export async function findOldPrepared(db: Queryable): Promise<{ gid: string; owner: string; prepared: string }[]> {
  const { rows } = await db.query<{ gid: string; owner: string; prepared: string }>(
    `SELECT gid, owner::text, prepared::text FROM pg_prepared_xacts
       WHERE database = current_database() AND prepared < clock_timestamp() - interval '1 minute' ORDER BY prepared`,
  );
  return rows;
}

/** The highest tid that the journal holds and the furthest position that a living process claims. */
export async function findReach(db: Queryable): Promise<{ journal: number; position: number }> {
  const { rows } = await db.query<{ journal: number; position: number }>(
    `SELECT coalesce((SELECT tid FROM tidemark.journal ORDER BY tid DESC LIMIT 1), 0) AS journal,
       coalesce((SELECT max(position) FROM tidemark.processes), 0) AS position`,
  );
  return rows[0] ?? { journal: 0, position: 0 };
}

/**
 * The server's timeline now, and when the epoch was named at this place; equal for a copy that has an epoch of its own. Undefined where
 * this role may not look.
 */
export async function findTimelines(
  owner: Queryable,
): Promise<{ named: string | null; now: string | null } | undefined> {
  const { rows: rights } = await owner.query<{ may: boolean }>(
    `SELECT has_function_privilege('tidemark.timeline()', 'EXECUTE') AS may`,
  );
  if (!rights[0]?.may) return undefined;
  const { rows } = await owner.query<{ named: string | null; now: string | null }>(
    `SELECT CASE WHEN e.place = tidemark.place() THEN e.timeline ELSE tidemark.timeline() END AS named, tidemark.timeline() AS now
       FROM tidemark.epoch e`,
  );
  return rows[0];
}

/** Whether this role may draw a tid: the owner alone. */
export async function mayDraw(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ may: boolean }>(
    `SELECT has_function_privilege('tidemark.draw_tid()', 'EXECUTE') AS may`,
  );
  return rows[0]?.may === true;
}

/**
 * Draws a tid in a savepoint that is rolled back, and another after it, and says whether the second one is declared by a lock. Both
 * are burnt. Needs the owner's rights.
 */
export async function guardSurvivesSavepoint(owner: Connection): Promise<boolean> {
  await owner.query('BEGIN');
  try {
    await owner.query('SAVEPOINT draw');
    await owner.query('SELECT tidemark.draw_tid()');
    await owner.query('ROLLBACK TO SAVEPOINT draw');
    const { rows } = await owner.query<{ tid: number }>('SELECT tidemark.draw_tid() AS tid');
    const { rows: locks } = await owner.query<{ declared: boolean }>(
      `SELECT coalesce(min(((l.classid::bigint & 65535) << 32) | l.objid::bigint) < $1, false) AS declared FROM pg_locks l
         WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.classid::bigint >> 16 = 29796 AND l.pid = pg_backend_pid()`,
      [rows[0]?.tid],
    );
    return locks[0]?.declared === true;
  } finally {
    await owner.query('ROLLBACK');
  }
}

/** The names of plugins that have migrated this database. */
export async function findMigratedPlugins(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(
    `SELECT replace(substring(c.relname FROM '^migration_plugin_(.*)'), '_', '-') AS name
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname = 'tidemark' AND c.relkind = 'r' AND starts_with(c.relname, 'migration_plugin_') ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
}
