import type { Queryable } from '#libs/database';

/** The runs of tests whose databases or roles are still there, and whose process is not: by the name of the run. */
export async function abandonedRuns(admin: Queryable, prefix: string): Promise<string[]> {
  const { rows } = await admin.query<{ run: string }>(
    `SELECT DISTINCT substring(n.name FROM '^' || $1 || '_[0-9a-f]{8}') AS run
       FROM (SELECT datname AS name FROM pg_database UNION ALL SELECT rolname FROM pg_roles) n
       WHERE n.name ~ ('^' || $1 || '_[0-9a-f]{8}_')
         AND NOT EXISTS (
           SELECT FROM pg_stat_activity a WHERE a.application_name = substring(n.name FROM '^' || $1 || '_[0-9a-f]{8}')
         )`,
    [prefix],
  );
  return rows.map(({ run }) => run);
}

/** The databases and roles of a run. */
export async function namesOf(admin: Queryable, run: string): Promise<{ databases: string[]; roles: string[] }> {
  const { rows } = await admin.query<{ name: string; role: boolean }>(
    `SELECT datname AS name, false AS role FROM pg_database WHERE starts_with(datname, $1 || '_')
     UNION ALL SELECT rolname, true FROM pg_roles WHERE starts_with(rolname, $1 || '_')`,
    [run],
  );
  const named = (wanted: boolean) => rows.filter(({ role }) => role === wanted).map(({ name }) => name);
  return { databases: named(false), roles: named(true) };
}

/** The programs that are connected to a database. */
export async function connectedPrograms(admin: Queryable, database: string): Promise<string[]> {
  const { rows } = await admin.query<{ name: string }>(
    `SELECT application_name AS name FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend' ORDER BY 1`,
    [database],
  );
  return rows.map(({ name }) => name);
}
