import { KernelError, type Queryable } from '#libs/database';

export type Row = Record<string, unknown>;
export type KeyPart = string | number | bigint;
/** The primary key of a row: one value, or the values of a composite key in key order. */
export type Key = KeyPart | readonly KeyPart[];

/** A journaled kind of thing: its name in the journal and the ordinary table that holds it. */
export interface Resource<R = unknown> {
  readonly name: string;
  /** As SQL writes it, with its schema where that is not on the search path: `shop.order`. */
  readonly table: string;
  readonly key: readonly string[];
  /** Whether the table has `row_version`, which `journal_table(…, row_version => true)` adds. */
  readonly versioned: boolean;
  /** A unique column by which people name a row, where there is one. */
  readonly alias?: string;
  /** Columns that hold JSON objects whose keys are journaled one by one, as fields `<column>.<key>`: `journal_table(…, json_keys => …)`. */
  readonly jsonKeys?: readonly string[];
  /** The column that holds the id of the project to which a row belongs, where rows belong to projects. */
  readonly project?: string;
  /** Carries the row type; never set. */
  readonly row?: R | undefined;
}

export interface ResourceDefinition {
  name: string;
  /** Default: the name. */
  table?: string;
  /** Default: `id`. Composite keys in key order. */
  key?: string | readonly string[];
  /** Default: true. */
  versioned?: boolean;
  alias?: string;
  /** The column by which rows belong to projects, null for none: who may read and change a row, roles in its project decide. */
  project?: string;
  /** Default: none. */
  jsonKeys?: readonly string[];
}

/** Declares a resource. The table is journaled by `tidemark.journal_table()` in a migration; the kernel checks at start that it is. */
export function defineResource<R = Row>(definition: ResourceDefinition): Resource<R> {
  const key = typeof definition.key === 'string' ? [definition.key] : (definition.key ?? ['id']);
  if (definition.name === '') throw new KernelError('configuration', 'a resource needs a name');
  if (key.length === 0) throw new KernelError('configuration', `resource ${definition.name} needs a key`);
  return Object.freeze({
    name: definition.name,
    table: definition.table ?? definition.name,
    key: Object.freeze([...key]),
    versioned: definition.versioned ?? true,
    ...(definition.alias === undefined ? {} : { alias: definition.alias }),
    ...(definition.project === undefined ? {} : { project: definition.project }),
    ...(definition.jsonKeys === undefined ? {} : { jsonKeys: Object.freeze([...definition.jsonKeys]) }),
  });
}

/** The key as values in key order; KernelError `invalid` when their number is not that of the resource's key. */
export function keyValues(resource: Resource, key: Key): readonly KeyPart[] {
  const values = Array.isArray(key) ? (key as readonly KeyPart[]) : [key as KeyPart];
  if (values.length !== resource.key.length) {
    throw new KernelError(
      'invalid',
      `the key of ${resource.name} is (${resource.key.join(', ')}), not ${values.length} value(s)`,
    );
  }
  return values;
}

/** SQL that meets the row of a key whose values are $1, $2, … */
export function keyCondition(resource: Resource): string {
  return resource.key.map((column, n) => `${quoteName(column)} = $${n + 1}`).join(' AND ');
}

/** The key as the journal spells it: text, or the JSON array of a composite key's values. */
export function journalId(resource: Resource, key: Key): string {
  const values = keyValues(resource, key);
  if (values.length === 1) return String(values[0]);
  return `[${values.map((value) => (typeof value === 'bigint' ? value : JSON.stringify(value))).join(',')}]`;
}

/** An identifier as SQL needs it, a schema before it included. */
export function quoteTable(table: string): string {
  return table.split('.').map(quoteName).join('.');
}

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/**
 * The id of the row that people mean by a text: the living row that bears it as its alias, else the row with that id, else the
 * last row that bore the alias (deleted or renamed since). Undefined when there never was one.
 */
export async function findId(db: Queryable, resource: Resource, text: string): Promise<string | undefined> {
  if (resource.alias !== undefined) {
    const key = resource.key.map((column) => `to_json(${quoteName(column)})`).join(', ');
    const { rows } = await db.query<{ key: KeyPart[] }>(
      `SELECT json_build_array(${key}) AS key FROM ${quoteTable(resource.table)} WHERE ${quoteName(resource.alias)} = $1`,
      [text],
    );
    if (rows[0]) return journalId(resource, rows[0].key);
  }
  const { rows } = await db.query<{ id: string }>(
    'SELECT id FROM tidemark.journal WHERE resource = $1 AND id = $2 LIMIT 1',
    [resource.name, text],
  );
  if (rows[0]) return rows[0].id;
  return (await bearers(db, resource, text))[0];
}

/** Ids of the rows that ever bore a text as their alias, the latest bearer first. */
export async function bearers(db: Queryable, resource: Resource, text: string): Promise<string[]> {
  if (resource.alias === undefined) return [];
  const { rows } = await db.query<{ id: string }>(
    `SELECT id FROM tidemark.history WHERE resource = $1 AND field = $2 AND value = to_jsonb($3::text)
       GROUP BY id ORDER BY max(tid) DESC`,
    [resource.name, resource.alias, text],
  );
  return rows.map((row) => row.id);
}
