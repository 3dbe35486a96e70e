import { createHash } from 'node:crypto';
import type { Answer, Connection } from '#libs/database';
import {
  changeSql,
  expectedRow,
  type Fragment,
  lockSql,
  loneChangeSql,
  type PendingChange,
  wantsRow,
} from './changes.ts';
import { parseExact } from './exact-json.ts';
import type { Row } from './resource.ts';
import { rowsToLock } from './unit-of-work.ts';

/** What a commit has journaled: the highest tid drawn (null when nothing changed) and the number of journaled changes. */
export interface Committed {
  readonly tid: number | null;
  readonly changes: number;
  /** The time of that tid as the journal has it, where the commit was a single statement. */
  readonly time?: string;
}

export interface Statement {
  readonly text: string;
  readonly parameters: readonly unknown[];
  /** To prepare it under, for the shapes that come again and again. */
  readonly name?: string;
  /** The row that it must meet, where the statement itself does not see to that. */
  readonly meets?: string;
}

/**
 * One statement for a list of independent changes:
 *
 *     WITH l0 AS (SELECT … FOR UPDATE), c0 AS (UPDATE …), c1 AS (INSERT …)
 *     SELECT set_config('tidemark.actor', $1, true), (SELECT count(*) FROM l0), (SELECT tidemark.expect(count(*), …) FROM c0), …
 *
 * The main SELECT sets the actor, because a CTE that nobody reads may never be evaluated; the triggers run when the whole
 * statement ends. Its columns are evaluated from left to right, and pull the changes in program order: locks first, a name is freed before
 * it is taken. A save or delete that does not meet its row raises TM001, which undoes the whole statement. A save or delete that stands
 * alone needs none of that.
 */
export function flushStatement(changes: readonly PendingChange[], actor: string, withLocks: boolean): Statement {
  const [lone] = changes;
  if (changes.length === 1 && (lone?.kind === 'save' || lone?.kind === 'delete')) {
    const { sql, parameters } = loneChangeSql(lone);
    const meets = expectedRow(lone);
    return { text: sql, parameters: [actor, ...parameters], ...(meets === undefined ? {} : { meets }), ...named(sql) };
  }
  const parameters: unknown[] = [actor];
  const ctes: string[] = [];
  const columns = [`set_config('tidemark.actor', $1, true) AS actor`];
  const append = (name: string, fragment: Fragment, materialized = '') => {
    ctes.push(`${name} AS ${materialized}(${fragment.sql})`);
    parameters.push(...fragment.parameters);
  };
  for (const [n, rows] of (withLocks ? rowsToLock(changes) : []).entries()) {
    append(`l${n}`, lockSql(rows, parameters.length), 'MATERIALIZED ');
    columns.push(`(SELECT count(*) FROM l${n}) AS l${n}`);
  }
  for (const [n, change] of changes.entries()) {
    append(`c${n}`, changeSql(change, parameters.length));
    const row = expectedRow(change);
    if (row !== undefined) {
      columns.push(`(SELECT tidemark.expect(count(*), $${parameters.push(row)}) FROM c${n}) AS e${n}`);
    }
    if (row === undefined || wantsRow(change)) {
      columns.push(`(SELECT json_agg(to_json(c${n}))::text FROM c${n}) AS c${n}`);
    }
  }
  const text = `WITH ${ctes.join(', ')} SELECT ${columns.join(', ')}`;
  const recurs = changes.length <= 4 && changes.every((change) => change.kind !== 'stage');
  return { text, parameters, ...(recurs ? named(text) : {}) };
}

/** Locks all rows of several statements before the first of them draws a tid; undefined when there are not several rows. */
export function lockStatement(changes: readonly PendingChange[]): Statement | undefined {
  const parameters: unknown[] = [];
  const locks = rowsToLock(changes).map((rows) => {
    const fragment = lockSql(rows, parameters.length);
    parameters.push(...fragment.parameters);
    return fragment.sql;
  });
  if (locks.length === 0) return undefined;
  const ctes = locks.map((lock, n) => `l${n} AS MATERIALIZED (${lock})`);
  const counts = locks.map((_, n) => `(SELECT count(*) FROM l${n}) AS l${n}`);
  return { text: `WITH ${ctes.join(', ')} SELECT ${counts.join(', ')}`, parameters };
}

/** Tells each change what its statement returned. */
export function settle(changes: readonly PendingChange[], answer: Record<string, unknown>): void {
  for (const [n, change] of changes.entries()) {
    const rows = answer[`c${n}`];
    const made = typeof rows === 'string' ? (parseExact(rows) as Row[]) : [];
    if (change.kind === 'create') change.done(made[0] as Row);
    if (change.kind === 'save') change.done?.(made[0]);
    if (change.kind === 'stage') change.done(made);
  }
}

/** Runs a statement; a lone change that meets no row fails as one within a larger statement does. */
export async function execute(connection: Connection, statement: Statement): Promise<Answer<Row>> {
  return met(statement, await connection.query<Row>(statement.text, statement.parameters, statement.name));
}

/** The answer, if the row that the statement must meet was there; else what a larger statement would raise. */
export function met(statement: Statement, answer: Answer<Row>): Answer<Row> {
  if (statement.meets !== undefined && answer.rowCount === 0) {
    throw Object.assign(new Error(statement.meets), { code: 'TM001' });
  }
  return answer;
}

/** A flush in autocommit reports its tids as INFO messages: "tidemark <tid> <changes> <time> <flush>" (docs/decisions/0002-tid-by-info-message.md). */
export function drawnByNotices(notices: readonly { code: string; message: string }[]): Committed {
  let tid: number | null = null;
  let time: string | undefined;
  let changes = 0;
  for (const notice of notices) {
    if (notice.code !== 'TM000') continue;
    const [, drawn, count, at] = notice.message.split(' ');
    if (tid === null || Number(drawn) > tid) [tid, time] = [Number(drawn), at];
    changes += Number(count);
  }
  return { tid, changes, ...(time === undefined ? {} : { time }) };
}

const names = new Map<string, string>();

/** PostgreSQL keeps a prepared statement for as long as its connection lives, so only so many shapes get a name. */
function named(text: string): { name?: string } {
  let name = names.get(text);
  if (name === undefined && names.size < 500) {
    name = `tm_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
    names.set(text, name);
  }
  return name === undefined ? {} : { name };
}
