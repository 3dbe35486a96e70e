import type { Queryable } from '#libs/database';
import type { Resource } from '#libs/journal';

/** What the database has for one resource. */
export interface TableFacts {
  readonly resource: string;
  readonly table: string;
  readonly exists: boolean;
  /** The name under which the table is journaled; null when it is not. */
  readonly journaled_as: string | null;
  readonly versioned: boolean | null;
  /** The columns whose keys are journaled one by one. */
  readonly json_keys: string[] | null;
  /** The columns of the primary key, in key order. */
  readonly key: string[];
  /** Whether a unique index covers exactly the alias; null when the resource has none. */
  readonly alias_unique: boolean | null;
  /** Whether the column that holds the project is there and journaled; null when the resource has none. */
  readonly project_found: boolean | null;
}

/** What the database has for each of the resources, in their order. */
export async function selectTableFacts(db: Queryable, resources: readonly Resource[]): Promise<TableFacts[]> {
  const { rows } = await db.query<TableFacts>(
    `SELECT w.name AS resource, w."table", t.rel IS NOT NULL AS exists, r.resource AS journaled_as, r.versioned, r.json_keys,
         ARRAY(SELECT a.attname::text FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY k(attnum, n)
           JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
           WHERE i.indrelid = t.rel AND i.indisprimary AND k.n <= i.indnkeyatts ORDER BY k.n) AS key,
         CASE WHEN w.alias IS NOT NULL THEN EXISTS (
           SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
             WHERE i.indrelid = t.rel AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indnkeyatts = 1
               AND i.indpred IS NULL AND a.attname = w.alias) END AS alias_unique,
         CASE WHEN w.project IS NOT NULL THEN EXISTS (
           SELECT FROM pg_attribute a WHERE a.attrelid = t.rel AND a.attname = w.project AND a.attnum > 0 AND a.attgenerated = ''
             AND a.attname <> ALL (coalesce(r.json_keys, '{}'))) END AS project_found
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY w(name, "table", alias, project, n)
       CROSS JOIN LATERAL (
         SELECT to_regclass(string_agg(quote_ident(p.part), '.' ORDER BY p.n)) AS rel
           FROM unnest(string_to_array(w."table", '.')) WITH ORDINALITY p(part, n)
       ) t
       LEFT JOIN tidemark.resources r ON r.relation = t.rel
       ORDER BY w.n`,
    [
      resources.map(({ name }) => name),
      resources.map(({ table }) => table),
      resources.map(({ alias }) => alias ?? null),
      resources.map(({ project }) => project ?? null),
    ],
  );
  return rows;
}

/** What is wrong with journaled tables: triggers that are missing, switched off or older than the table's columns. */
export async function selectTableProblems(
  db: Queryable,
): Promise<{ resource: string; relation: string; problem: string }[]> {
  const { rows } = await db.query<{ resource: string; relation: string; problem: string }>(
    'SELECT resource, relation, problem FROM tidemark.table_problems() ORDER BY 1, 3',
  );
  return rows;
}
