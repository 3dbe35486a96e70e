import { hash } from 'node:crypto';
import { type Answer, KernelError, type Queryable } from '#libs/database';
import type { KeyedProjection, KeyedSource } from './projection.ts';
import { type Column, quoteTable, rebuildName, type Shape, shapeOf } from './shape.ts';

/** The statements of a keyed projection, made once from its definition and the catalog. */
export interface KeyedStatements {
  readonly key: readonly Column[];
  /** Computes the keys of changed rows anew: ids ($1, $3, …) and old images ($2, $4, …) of each source. */
  readonly live: Sized;
  readonly rebuild: Sized;
  /** Computes the $2 keys after the key $1 (a text array, or null), of all that the source rows have. Returns `keys`, and the `last`. */
  readonly scan: string;
  /** Computes the keys in $1 anew: JSON arrays as text. */
  readonly liveSome: Sized;
  /**
   * Locks the keys in $1 of the projection called $2 until the end of the transaction. A later statement sees whatever others have
   * committed who had them.
   */
  readonly lockSome: Sized;
  /** The differences of the $2 keys after the key $1, of all that the source rows or the table have. */
  readonly compareAll: string;
  /** The differences of the keys in $1. */
  readonly compareSome: string;
  /** The keys of changed rows, as `recompute` is told of them. */
  readonly changedKeys: Sized;
}

/** So many locks at most, however many keys: those of 10,000 would not find room in the server's lock table. */
const STRIPES = 128;
/** Changes or keys for which a statement is prepared. */
const FEW = 100;

/**
 * One statement for two sizes. To plan it takes longer than to compute a few keys: that one is prepared, and hides from the planner how many
 * values it is given, as their number would make each plan look better than the prepared one. That plan may take hours for thousands.
 */
interface Sized {
  readonly few: { readonly text: string; readonly name: string };
  readonly many: { readonly text: string };
}

/** Makes them. Throws `configuration` where the definition does not fit the tables. */
export async function keyedStatements(db: Queryable, projection: KeyedProjection): Promise<KeyedStatements> {
  const live = await shapeOf(db, projection.table);
  const sources: { source: KeyedSource; shape: Shape }[] = [];
  // one after the other: it may be a transaction, whose connection takes no second query meanwhile
  for (const source of projection.sources) sources.push({ source, shape: await shapeOf(db, source.resource.table) });
  const key = keyColumns(projection, live);
  const names = key.map(({ quoted }) => quoted).join(', ');
  const changed = (parameter: Parameter) =>
    union(
      key,
      sources.map(({ source, shape }, n) => keysOfChanged(source, shape, parameter(2 * n + 1), parameter(2 * n + 2))),
    );
  const everything = union(
    key,
    sources.map(({ source, shape }) => keysOfAll(source, shape)),
  );
  const after = (all: string) => `
    SELECT ${names} FROM (${all}) every
      WHERE $1::text[] IS NULL OR (${names}) > (${key.map(({ type }, n) => `($1::text[])[${n + 1}]::${type}`).join(', ')})
      ORDER BY ${names} LIMIT $2`;
  const known = `${everything} UNION SELECT ${names} FROM ${live.quoted}`;
  const given = (parameter: Parameter) => `
    SELECT DISTINCT ${key.map(({ quoted, type }, n) => `(k::jsonb ->> ${n})::${type} AS ${quoted}`).join(', ')}
      FROM unnest(${parameter(1)}) k`;
  return {
    key,
    live: sized((parameter) => recompute(projection, live, key, changed(parameter), 'live')),
    rebuild: sized((parameter) => recompute(projection, live, key, changed(parameter), 'rebuild')),
    scan: recompute(projection, live, key, after(everything), 'rebuild'),
    liveSome: sized((parameter) => recompute(projection, live, key, given(parameter), 'live')),
    lockSome: sized((parameter) => lock(given(parameter))),
    compareAll: compare(projection, live, key, after(known)),
    compareSome: compare(projection, live, key, given(shown)),
    changedKeys: sized(
      (parameter) => `SELECT json_build_array(${names})::text AS key FROM (${changed(parameter)}) changed_keys`,
    ),
  };
}

/** A list of texts, in its place. */
type Parameter = (place: number) => string;

const shown: Parameter = (place) => `$${place}::text[]`;
const hidden: Parameter = (place) => `(SELECT $${place}::text[])::text[]`;

function sized(text: (parameter: Parameter) => string): Sized {
  const few = text(hidden);
  // By its text: a connection refuses another statement under a name that it knows.
  const name = `tidemark_projection_${hash('sha256', few).slice(0, 24)}`;
  return { few: { text: few, name }, many: { text: text(shown) } };
}

/** Runs a statement for so many changes or keys. */
export function runSized<R>(
  db: Queryable,
  { few, many }: Sized,
  count: number,
  parameters: readonly unknown[],
): Promise<Answer<R>> {
  return count <= FEW ? db.query<R>(few.text, parameters, few.name) : db.query<R>(many.text, parameters);
}

function keyColumns({ name, key, table }: KeyedProjection, live: Shape): readonly Column[] {
  const columns = live.key.slice(0, key.length);
  if (live.key.length > 0 && columns.length === key.length && columns.every((column, n) => column.name === key[n])) {
    return columns;
  }
  const is = live.key.map((column) => column.name).join(', ') || 'none';
  throw new KernelError(
    'configuration',
    `projection ${name}: its key (${key.join(', ')}) must be the first columns of the primary key of ${table}, which is (${is})`,
  );
}

// Each source's SELECT may give a key without a value: a row that belongs to none.
function union(key: readonly Column[], selects: readonly string[]): string {
  const names = key.map(({ quoted }) => quoted);
  const typed = key.map(({ quoted, type }) => `${quoted}::${type} AS ${quoted}`).join(', ');
  return selects
    .map((select) => {
      const some = names.map((name) => `${name} IS NOT NULL`).join(' AND ');
      return `SELECT DISTINCT ${typed} FROM (${select}) found(${names.join(', ')}) WHERE ${some}`;
    })
    .join(' UNION ');
}

function keysOfAll({ keys }: KeyedSource, { quoted }: Shape): string {
  return `WITH changed AS (SELECT * FROM ${quoted}) ${keys}`;
}

// A table may be called like a type, so its row type is not named.
function keysOfChanged({ keys }: KeyedSource, { quoted, key }: Shape, ids: string, images: string): string {
  const [only] = key;
  const met =
    key.length === 1 && only
      ? `t.${only.quoted} = ANY (${ids}::${only.type}[])`
      : `(${key.map((column) => `t.${column.quoted}`).join(', ')}) IN (
           SELECT ${key.map(({ type }, n) => `(id::jsonb ->> ${n})::${type}`).join(', ')} FROM unnest(${ids}) id)`;
  return `WITH changed AS (
      SELECT t.* FROM ${quoted} t WHERE ${met}
      UNION ALL
      SELECT o.* FROM unnest(${images}) image, jsonb_populate_record((SELECT none FROM ${quoted} none LIMIT 0), image::jsonb) o
    ) ${keys}`;
}

function recompute(
  { table, rows }: KeyedProjection,
  live: Shape,
  key: readonly Column[],
  keys: string,
  into: 'live' | 'rebuild',
): string {
  const target = into === 'live' ? live.quoted : quoteTable(rebuildName(table));
  const columns = live.columns.map(({ quoted }) => quoted).join(', ');
  const rest = live.columns.filter(({ name }) => !live.key.some((column) => column.name === name));
  const list = (of: readonly Column[], row: string) => of.map(({ quoted }) => `${row}.${quoted}`).join(', ');
  const update =
    rest.length === 0
      ? 'DO NOTHING'
      : `DO UPDATE SET ${rest.map(({ quoted }) => `${quoted} = excluded.${quoted}`).join(', ')}
           WHERE (${list(rest, 't')}) IS DISTINCT FROM (${list(rest, 'excluded')})`;
  return `
    WITH keys AS MATERIALIZED (${keys}),
    wanted AS MATERIALIZED (SELECT ${columns} FROM (${rows}) w),
    gone AS (
      DELETE FROM ${target} t USING keys k WHERE (${list(key, 't')}) = (${list(key, 'k')})
        AND NOT EXISTS (SELECT FROM wanted w WHERE (${list(live.key, 'w')}) = (${list(live.key, 't')}))
    ), made AS (
      INSERT INTO ${target} AS t (${columns}) SELECT ${columns} FROM wanted
        ON CONFLICT (${live.key.map(({ quoted }) => quoted).join(', ')}) ${update}
    )
    SELECT count(*)::int AS keys, (
        SELECT array[${key.map(({ quoted }) => `${quoted}::text`).join(', ')}] FROM keys
          ORDER BY ${key.map(({ quoted }) => `${quoted} DESC`).join(', ')} LIMIT 1
      ) AS last
      FROM keys`;
}

// In one order, whoever takes them. Equal keys have one hash, as their types have it, however they are written.
function lock(keys: string): string {
  return `
    SELECT pg_advisory_xact_lock(hashtext('tidemark inline ' || $2::text), stripe), current_setting('transaction_isolation') AS isolation
      FROM (SELECT DISTINCT hash_record(k) & ${STRIPES - 1} AS stripe FROM (${keys}) k ORDER BY stripe) s`;
}

// The table may have lost its primary key, and hold a row twice: a copy is a row of its own here.
function compare({ rows }: KeyedProjection, live: Shape, key: readonly Column[], keys: string): string {
  const columns = live.columns.map(({ quoted }) => quoted).join(', ');
  const list = (of: readonly Column[], row: string) => of.map(({ quoted }) => `${row}.${quoted}`).join(', ');
  const either = (of: readonly Column[]) => of.map(({ quoted }) => `coalesce(w.${quoted}, l.${quoted})`).join(', ');
  return `
    WITH keys AS MATERIALIZED (${keys}),
    wanted AS MATERIALIZED (SELECT ${columns} FROM (${rows}) w),
    live AS MATERIALIZED (
      SELECT ${list(live.columns, 't')}, row_number() OVER (PARTITION BY ${list(live.key, 't')}) AS copy
        FROM ${live.quoted} t JOIN keys k ON (${list(key, 't')}) = (${list(key, 'k')})
    ), differing AS (
      SELECT json_build_array(${either(live.key)}) AS id, json_build_array(${either(key)}) AS key,
          CASE WHEN w.${live.key[0]?.quoted} IS NOT NULL THEN to_jsonb(w) END AS expected,
          CASE WHEN l.copy IS NOT NULL THEN to_jsonb(l) - 'copy' END AS actual, coalesce(l.copy, 1)::int AS copy
        FROM wanted w FULL JOIN live l ON (${list(live.key, 'w')}) = (${list(live.key, 'l')})
        WHERE l.copy IS NULL OR l.copy > 1 OR (${list(live.columns, 'w')}) IS DISTINCT FROM (${list(live.columns, 'l')})
    )
    SELECT (SELECT count(*)::int FROM keys) AS keys,
      (SELECT array[${key.map(({ quoted }) => `${quoted}::text`).join(', ')}] FROM keys
         ORDER BY ${key.map(({ quoted }) => `${quoted} DESC`).join(', ')} LIMIT 1) AS last,
      (SELECT coalesce(json_agg(d ORDER BY d.id::text), '[]')::text FROM differing d) AS differences`;
}
