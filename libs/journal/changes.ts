import { type OperationNode, type OperationNodeSource, PostgresQueryCompiler, type RootOperationNode } from 'kysely';
import { KernelError } from '#libs/database';
import { journalId, type Key, keyValues, quoteName, quoteTable, type Resource, type Row } from './resource.ts';

/** A change that waits in a ModelTransaction for its flush. */
export type PendingChange = PendingCreate | PendingSave | PendingDelete | PendingStage;

export interface PendingCreate {
  readonly kind: 'create';
  readonly resource: Resource;
  values: Row;
  done(row: Row): void;
}

export interface PendingSave {
  readonly kind: 'save';
  readonly resource: Resource;
  readonly key: Key;
  values: Row;
  readonly ifVersion?: number | undefined;
  /** Values that the row must have for the change to be made; without them, or without the row, nothing is done. */
  readonly when?: Row | undefined;
  /** Columns of the row after the change that somebody wants to know. */
  returning?: readonly string[];
  done?(row: Row | undefined): void;
}

export interface PendingDelete {
  readonly kind: 'delete';
  readonly resource: Resource;
  readonly key: Key;
  readonly ifVersion?: number | undefined;
}

export interface PendingStage {
  readonly kind: 'stage';
  readonly node: OperationNode;
  done(rows: Row[]): void;
}

/** One change as SQL. Parameters are numbered on from `offset`. */
export interface Fragment {
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

/** The row a change touches, as the journal and error messages spell it; undefined for what only the database can tell. */
export function touchedRow(change: PendingChange): string | undefined {
  if (change.kind === 'stage') return undefined;
  if (change.kind !== 'create') return `${change.resource.name} ${journalId(change.resource, change.key)}`;
  const key = change.resource.key.map((column) => change.values[column]);
  return key.some((value) => value === undefined)
    ? undefined
    : `${change.resource.name} ${journalId(change.resource, key as Key)}`;
}

export function changeSql(change: PendingChange, offset: number): Fragment {
  if (change.kind === 'stage') return stageSql(change.node, offset);
  const parameters: unknown[] = [];
  const param = (value: unknown) => `$${offset + parameters.push(value)}`;
  const { resource } = change;
  const table = quoteTable(resource.table);
  if (change.kind === 'create') {
    const names = Object.keys(change.values).filter((name) => change.values[name] !== undefined);
    const given = names.length
      ? `(${names.map(quoteName).join(', ')}) VALUES (${names.map((name) => param(change.values[name])).join(', ')})`
      : 'DEFAULT VALUES';
    return { sql: `INSERT INTO ${table} ${given} RETURNING ${returned(resource)}`, parameters };
  }
  const verb = change.kind === 'save' ? `UPDATE ${table} SET ${setClause(change, param)}` : `DELETE FROM ${table}`;
  return { sql: `${verb} WHERE ${whereKey(change, param)} RETURNING ${returned(resource, change)}`, parameters };
}

/** A save or delete that stands alone: no CTE is needed, as the actor is set by the join without which the row is not met. Its own is $1. */
export function loneChangeSql(change: PendingSave | PendingDelete): Fragment {
  const parameters: unknown[] = [];
  const param = (value: unknown) => `$${1 + parameters.push(value)}`;
  const table = quoteTable(change.resource.table);
  const actor = `(SELECT set_config('tidemark.actor', $1, true) AS "tidemark actor") "tidemark actor"`;
  const verb =
    change.kind === 'save'
      ? `UPDATE ${table} SET ${setClause(change, param)} FROM ${actor}`
      : `DELETE FROM ${table} USING ${actor}`;
  const answer = wantsRow(change)
    ? ` RETURNING (SELECT json_agg(r)::text FROM (SELECT ${returned(change.resource, change)}) r) AS c0`
    : '';
  return { sql: `${verb} WHERE ${whereKey(change, param)} AND "tidemark actor" IS NOT NULL${answer}`, parameters };
}

/** Whether a change of a row that exists is to tell what became of it. */
export function wantsRow(change: PendingChange): change is PendingSave {
  return change.kind === 'save' && change.returning !== undefined;
}

/** The row that a change has to meet, or else its flush fails; undefined for one that may meet none. */
export function expectedRow(change: PendingChange): string | undefined {
  const free = change.kind === 'create' || change.kind === 'stage' || (change.kind === 'save' && change.when);
  return free ? undefined : touchedRow(change);
}

function setClause(change: PendingSave, param: (value: unknown) => string): string {
  const names = Object.keys(change.values).filter((name) => change.values[name] !== undefined);
  if (names.length === 0) throw new KernelError('invalid', `save of ${touchedRow(change)} names no field`);
  return names.map((name) => `${quoteName(name)} = ${param(change.values[name])}`).join(', ');
}

function whereKey(change: PendingSave | PendingDelete, param: (value: unknown) => string): string {
  const values = keyValues(change.resource, change.key);
  const conditions = change.resource.key.map((column, n) => `${quoteName(column)} = ${param(values[n])}`);
  if (change.ifVersion !== undefined) conditions.push(`row_version = ${param(change.ifVersion)}`);
  const when = change.kind === 'save' ? (change.when ?? {}) : {};
  for (const [column, value] of Object.entries(when)) conditions.push(`${quoteName(column)} = ${param(value)}`);
  return conditions.join(' AND ');
}

function returned(resource: Resource, change?: PendingChange): string {
  const wanted = change && wantsRow(change) ? (change.returning ?? []) : [];
  const columns = new Set([...resource.key, ...(resource.versioned ? ['row_version'] : []), ...wanted]);
  return [...columns].map(quoteName).join(', ');
}

/** Locks rows that exist, in key order, so that two flushes of several rows cannot deadlock each other. */
export function lockSql(changes: readonly (PendingSave | PendingDelete)[], offset: number): Fragment {
  const parameters: unknown[] = [];
  const resource = (changes[0] as PendingSave).resource;
  const columns = resource.key.map(quoteName).join(', ');
  const keys = changes.map(
    (change) =>
      `(${keyValues(resource, change.key)
        .map((value) => `$${offset + parameters.push(value)}`)
        .join(', ')})`,
  );
  const strength = changes.some((change) => change.kind === 'delete') ? 'UPDATE' : 'NO KEY UPDATE';
  return {
    sql: `SELECT 1 AS locked FROM ${quoteTable(resource.table)} WHERE (${columns}) IN (${keys.join(', ')}) ORDER BY ${columns} FOR ${strength}`,
    parameters,
  };
}

/** A staged builder: Kysely's insert, update or delete. */
export function stagedNode(builder: OperationNodeSource): OperationNode {
  const node = builder.toOperationNode();
  if (!['InsertQueryNode', 'UpdateQueryNode', 'DeleteQueryNode'].includes(node.kind)) {
    throw new KernelError('invalid', `stage() takes an insert, update or delete builder, not a ${node.kind}`);
  }
  return node;
}

/** The table of a plain INSERT … VALUES of literal values, which depends on no other change; undefined for anything else. */
export function plainInsertTable(node: OperationNode): string | undefined {
  const insert = node as unknown as {
    kind: string;
    into?: unknown;
    values?: { kind: string; values: readonly OperationNode[] };
    with?: unknown;
  };
  if (insert.kind !== 'InsertQueryNode' || insert.with !== undefined || insert.values?.kind !== 'ValuesNode')
    return undefined;
  const lists = insert.values.values as readonly (OperationNode & { values?: readonly OperationNode[] })[];
  const plain = lists.every(
    (list) => list.kind === 'PrimitiveValueListNode' || list.values?.every((value) => value.kind === 'ValueNode'),
  );
  return plain ? JSON.stringify(insert.into) : undefined;
}

function stageSql(node: OperationNode, offset: number): Fragment {
  const compiled = new OffsetCompiler(offset).compileQuery(node as RootOperationNode, { queryId: 'stage' });
  const returns = 'returning' in node && node.returning !== undefined;
  return {
    sql: returns ? compiled.sql : `${compiled.sql} returning 1 as changed`,
    parameters: compiled.parameters,
  };
}

class OffsetCompiler extends PostgresQueryCompiler {
  readonly #offset: number;

  constructor(offset: number) {
    super();
    this.#offset = offset;
  }

  protected override getCurrentParameterPlaceholder(): string {
    return `$${this.#offset + this.numParameters}`;
  }
}
