import { KernelError, type Queryable } from '#libs/database';
import { type Row, resolveAsOf, rowAsOf } from '#libs/journal';
import type { FieldError } from '../refuse.ts';
import { type Field, nounOf, parseId, type RecordKind, type RecordName, type Shown } from './record-kind.ts';

/** The rows of a list that somebody may read: those of some projects, or all but those of some. */
export interface Readable {
  readonly kind: 'only' | 'all but';
  readonly projects: readonly string[];
}

export interface RecordListOptions {
  /** Only those with these values; null: with none. */
  readonly filter?: Readonly<Record<string, string | null | undefined>> | undefined;
  readonly readable?: Readable | undefined;
  readonly ids?: readonly string[];
  /** Those after this id. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** The columns of a record e, as it is shown. */
export function shownColumns({ fields }: RecordKind): string {
  const columns = Object.entries(fields).map(([name, field]) => `${shownColumn(`e.${name}`, field)} AS ${name}`);
  return ['e.id::text AS id', 'e.row_version::int AS row_version', ...columns].join(', ');
}

/** One column of a record, as it is shown. */
export function shownColumn(column: string, field: Field): string {
  if (field.type === 'moment') return shownMoment(column);
  if (field.type === 'day') return `to_char(${column}, 'YYYY-MM-DD')`;
  if (field.type === 'entity') return `${column}::text`;
  if (field.type === 'reference') return `${column}::text${field.list ? '[]' : ''}`;
  return column;
}

export function shownMoment(column: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}

export async function findRecord(db: Queryable, kind: RecordKind, id: string): Promise<Shown | undefined> {
  const { rows } = await db.query<Shown>(
    `SELECT ${shownColumns(kind)} FROM ${kind.name} e WHERE e.id = $1`,
    [id],
    `tidemark_${kind.name}`,
  );
  return rows[0];
}

/** The record as it is. Throws `not_found`, also for what no record can be called. */
export async function getRecord(db: Queryable, kind: RecordKind, id: string): Promise<Shown> {
  const key = parseId(kind, id);
  const found = key === undefined ? undefined : await findRecord(db, kind, key);
  if (!found) throw noRecord(kind, id);
  return found;
}

/** The record as of a tid or a time. Throws `not_found` also for a time outside the journal. */
export async function getRecordAsOf(db: Queryable, kind: RecordKind, id: string, asOf: string): Promise<Shown> {
  const found = await rowAsOf(db, kind.name, id, await resolveAsOf(db, asOf));
  if (!found) throw noRecord(kind, id);
  return shownRow(kind, id, found.values, found.entry.row_version);
}

/** A row as its journal spells it, as it is shown. */
export function shownRow({ fields }: RecordKind, id: string, values: Row, version: number | null): Shown {
  const shown = Object.entries(fields).map(([name, field]) => [name, shownValue(field, values[name] ?? null)]);
  return { ...Object.fromEntries(shown), id, row_version: version ?? 0 };
}

function shownValue(field: Field, value: unknown): unknown {
  if (value === null) return null;
  if (field.type === 'moment') return new Date(String(value)).toISOString();
  if (field.type === 'entity') return String(value);
  if (field.type !== 'reference') return value;
  return field.list ? (value as unknown[]).map(String) : String(value);
}

export function noRecord(kind: Pick<RecordKind, 'name'>, id: string): KernelError {
  return new KernelError('not_found', `there is no ${nounOf(kind)} ${id.slice(0, 100)}`);
}

/** Records by id, at most `limit`: those that meet every filter and may be read. */
export async function listRecords(db: Queryable, kind: RecordKind, options: RecordListOptions): Promise<Shown[]> {
  const { where, values } = conditions(kind, options);
  const { rows } = await db.query<Shown>(
    `SELECT ${shownColumns(kind)} FROM ${kind.name} e WHERE ${where} ORDER BY e.id LIMIT $1`,
    values,
  );
  return rows;
}

/** The condition of a list, over e, and the parameters of its statement: the limit is the first. */
export function conditions(
  { fields, project, id }: RecordKind,
  { filter = {}, readable, ids, after, limit }: RecordListOptions,
): { where: string; values: unknown[] } {
  const values: unknown[] = [limit];
  const param = (value: unknown) => `$${values.push(value)}`;
  const all = Object.entries(filter).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const field = fields[name] as Field;
    if (value === null) return [`e.${name} IS NULL`];
    return [
      field.type === 'reference' && field.list ? `e.${name} @> ${param([value])}` : `e.${name} = ${param(value)}`,
    ];
  });
  if (after !== undefined) all.push(`e.id > ${param(after)}`);
  if (ids !== undefined) all.push(`e.id = ANY (${param(ids)}::${id === 'number' ? 'bigint' : 'text'}[])`);
  if (project !== undefined && readable !== undefined && (readable.kind === 'only' || readable.projects.length > 0)) {
    const some = `e.${project} = ANY (${param(readable.projects.filter((name) => parseId({ id: 'number' }, name)))}::bigint[])`;
    all.push(readable.kind === 'only' ? some : `NOT ${some}`);
  }
  return { where: all.join(' AND ') || 'true', values };
}

/** The references of a record to what does not exist, or belongs to another project. One statement. */
export async function missingReferences(db: Queryable, kind: RecordKind, values: Row): Promise<FieldError[]> {
  const parameters: unknown[] = [];
  const param = (value: unknown) => `$${parameters.push(value)}`;
  const looks = Object.entries(values).flatMap(([name, value]) => {
    const field = kind.fields[name];
    const to = field && targetOf(field, values);
    if (to === undefined || value === null) return [];
    const ids = Array.isArray(value) ? value : [value];
    const type = to.startsWith('task_') ? 'text' : 'bigint';
    const own = to === 'project' || values['project_id'] === undefined || !IN_PROJECTS.has(to);
    const same = own ? '' : ` AND r.project_id = ${param(values['project_id'])}`;
    return [
      `SELECT '${name}' AS name, '${to}' AS table, g.id::text AS id FROM unnest(${param(ids)}::${type}[]) g(id)
         WHERE NOT EXISTS (SELECT FROM ${to} r WHERE r.id = g.id${same})`,
    ];
  });
  if (looks.length === 0) return [];
  const { rows } = await db.query<{ name: string; table: RecordName; id: string }>(
    looks.join(' UNION ALL '),
    parameters,
  );
  return rows.map(({ name, table, id }) => {
    const where = IN_PROJECTS.has(table) ? ' in this project' : '';
    return { path: name, message: `there is no ${nounOf({ name: table })} ${id}${where}` };
  });
}
const IN_PROJECTS: ReadonlySet<RecordName> = new Set(['sequence', 'shot', 'asset', 'task']);

function targetOf(field: Field, values: Row): RecordName | undefined {
  if (field.type === 'entity') return values['entity_type'] as RecordName;
  return field.type === 'reference' ? field.to : undefined;
}

/** What stands in the way of deleting a record, in words: `3 shots`. One statement. */
export async function dependentsOf(db: Queryable, { dependents }: RecordKind, id: string): Promise<string[]> {
  if (dependents.length === 0) return [];
  const counts = dependents.map(
    ({ table, column, list }, n) =>
      `SELECT ${n} AS n, '${table}' AS table, count(*)::int AS count FROM ${table} d
         WHERE ${list ? `d.${column} @> ARRAY[$1::bigint]` : `d.${column} = $1`}`,
  );
  const { rows } = await db.query<{ table: RecordName; count: number }>(`${counts.join(' UNION ALL ')} ORDER BY n`, [
    id,
  ]);
  return rows
    .filter(({ count }) => count > 0)
    .map(({ table, count }) => `${count} ${nounOf({ name: table })}${count === 1 ? '' : 's'}`);
}
