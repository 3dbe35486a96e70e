import { KernelError, type Queryable } from '#libs/database';

/** A column as the catalog has it: its name as SQL writes it, and its type. */
export interface Column {
  readonly name: string;
  readonly quoted: string;
  readonly type: string;
}

/** A table as statements are made for it. */
export interface Shape {
  readonly quoted: string;
  readonly columns: readonly Column[];
  /** The columns of its primary key, in key order; of one that it had, when it has lost it. */
  readonly key: readonly Column[];
}

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** An identifier as SQL needs it, a schema before it included. */
export function quoteTable(table: string): string {
  return table.split('.').map(quoteName).join('.');
}

/** What a table is called while its successor is made: tidemark.rebuild_table() says the same with its schema. */
export function rebuildName(table: string): string {
  const parts = table.split('.');
  return [...parts.slice(0, -1), `${parts.at(-1)?.slice(0, 54)}__rebuild`].join('.');
}

/** Columns without generated ones, which nobody writes. Throws `configuration` when there is no such table. */
export async function shapeOf(db: Queryable, table: string): Promise<Shape> {
  const { rows } = await db.query<{ name: string; type: string; place: number | null }>(
    `SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type, array_position(i.indkey::int2[], a.attnum) AS place
       FROM pg_attribute a
       LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
       WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
       ORDER BY a.attnum`,
    [quoteTable(table)],
  );
  if (rows.length === 0) throw new KernelError('configuration', `there is no table ${table}`);
  const column = ({ name, type }: { name: string; type: string }) => ({ name, quoted: quoteName(name), type });
  const keyed = rows.filter(({ place }) => place !== null).sort((a, b) => Number(a.place) - Number(b.place));
  const key = keyed.length > 0 ? keyed : await lostKey(db, table, rows);
  return { quoted: quoteTable(table), columns: rows.map(column), key: key.map(column) };
}

/** The columns of a key that a projection's table has lost since it was registered. */
async function lostKey<C extends { name: string }>(db: Queryable, table: string, columns: readonly C[]): Promise<C[]> {
  const { rows } = await db.query<{ key: string[] | null }>(
    `SELECT keys -> (array_position(tables, to_regclass($1)) - 1) AS key FROM tidemark.projections WHERE to_regclass($1) = ANY (tables)`,
    [quoteTable(table)],
  );
  return (rows[0]?.key ?? []).flatMap((name) => columns.find((column) => column.name === name) ?? []);
}
