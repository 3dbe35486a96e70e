import { KernelError } from '#libs/database';
import { type PendingChange, type PendingDelete, type PendingSave, plainInsertTable, touchedRow } from './changes.ts';

/** Changes of one statement at most: its planning grows with them, and a tid is held no longer than it takes. */
const STATEMENT_LIMIT = 100;

/**
 * The changes of a ModelTransaction that wait for the next flush, in program order. Two changes of one row become one where that cannot
 * change the outcome: when no other change of the same table stands between them.
 */
export class UnitOfWork {
  #pending: PendingChange[] = [];

  get size(): number {
    return this.#pending.length;
  }

  add(change: PendingChange): void {
    if (change.kind === 'create' || change.kind === 'stage') this.#pending.push(change);
    else this.#addToRow(change);
  }

  #addToRow(change: PendingSave | PendingDelete): void {
    const earlier = this.#mergeable(change);
    if (!earlier) {
      this.#pending.push(change);
    } else if (earlier.kind === 'delete') {
      throw new KernelError('conflict', `${touchedRow(change)} is deleted earlier in this transaction`);
    } else if (change.kind === 'save') {
      earlier.values = { ...earlier.values, ...change.values };
      if (earlier.kind === 'save') tellBoth(earlier, change);
    } else {
      this.#pending.splice(this.#pending.indexOf(earlier), 1);
      if (earlier.kind === 'save') this.#pending.push({ ...change, ifVersion: earlier.ifVersion ?? change.ifVersion });
    }
  }

  /** Hands the changes out as statements, each a list of changes that do not depend on each other. */
  takeStatements(): PendingChange[][] {
    const statements: PendingChange[][] = [];
    let statement: PendingChange[] = [];
    for (const change of this.#pending) {
      if (statement.length > 0 && !fits(statement, change)) {
        statements.push(statement);
        statement = [];
      }
      statement.push(change);
    }
    if (statement.length > 0) statements.push(statement);
    this.#pending = [];
    return statements;
  }

  #mergeable(change: PendingSave | PendingDelete): Exclude<PendingChange, { kind: 'stage' }> | undefined {
    const last = this.#pending.findLast((p) => p.kind === 'stage' || p.resource.table === change.resource.table);
    if (last === undefined || last.kind === 'stage' || touchedRow(last) !== touchedRow(change)) return undefined;
    // whether a save with `when` happens, only the database can tell
    return conditional(last) || conditional(change) ? undefined : last;
  }
}

function conditional(change: PendingChange): boolean {
  return change.kind === 'save' && change.when !== undefined;
}

/** Of two saves that have become one, both are told of the row. */
function tellBoth(earlier: PendingSave, later: PendingSave): void {
  if (later.returning === undefined) return;
  const { done } = earlier;
  earlier.returning = [...(earlier.returning ?? []), ...later.returning];
  earlier.done = (row) => {
    done?.(row);
    later.done?.(row);
  };
}

/**
 * PostgreSQL runs the parts of a statement on one snapshot and loses the second change of a row. So a row is changed once per statement,
 * and a staged builder, which may read or write anything, has a statement of its own unless it is a plain INSERT into a table
 * that no other change of the statement touches.
 */
function fits(statement: readonly PendingChange[], change: PendingChange): boolean {
  if (statement.length >= STATEMENT_LIMIT) return false;
  if (!statement.every(independent) || !independent(change)) return false;
  const row = touchedRow(change);
  if (row !== undefined && statement.some((other) => touchedRow(other) === row)) return false;
  return change.kind === 'stage'
    ? !statement.some((other) => writesTable(other, change))
    : !statement.some((other) => other.kind === 'stage' && writesTable(change, other));
}

function independent(change: PendingChange): boolean {
  return change.kind !== 'stage' || plainInsertTable(change.node) !== undefined;
}

function writesTable(change: PendingChange, staged: PendingChange & { kind: 'stage' }): boolean {
  const table = plainInsertTable(staged.node) as string;
  return change.kind === 'stage' ? plainInsertTable(change.node) === table : table === change.resource.table;
}

/** The changes of rows that exist, when there are several: to be locked in key order first. */
export function rowsToLock(changes: readonly PendingChange[]): (PendingSave | PendingDelete)[][] {
  const existing = changes.filter((change) => change.kind === 'save' || change.kind === 'delete');
  if (existing.length < 2) return [];
  const byTable = Object.groupBy(existing, (change) => change.resource.table);
  return Object.keys(byTable)
    .sort()
    .map((table) => byTable[table] ?? []);
}
