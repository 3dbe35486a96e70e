import type { Queryable } from '#libs/database';
import { after } from '#libs/dispatch';
import { type JournalEntry, type Position, readPage } from '#libs/journal';
import { computeLocked } from './key-locks.ts';
import { type KeyedStatements, keyedStatements, runSized } from './keyed-statements.ts';
import { imagesBefore } from './projection.queries.ts';
import {
  type ChangedFields,
  concerns,
  isInline,
  type KeyedProjection,
  type KeyedSource,
  type Projection,
} from './projection.ts';
import { quoteTable, rebuildName } from './shape.ts';

const PAGE = { limit: 2_000, bytes: 8 * 1024 * 1024 };

/** A projection with the statements that were made for it. */
export interface Prepared {
  readonly projection: Projection;
  readonly statements?: KeyedStatements;
}

export async function prepare(db: Queryable, projection: Projection): Promise<Prepared> {
  if (projection.kind === 'fold') return { projection };
  return { projection, statements: await keyedStatements(db, projection) };
}

export interface Advance {
  readonly from: number;
  /** It must be safe. */
  readonly upto: number;
  readonly into: 'live' | 'rebuild';
  /** What concerns the projection after `from`, up to `upto`, where somebody has read it already. */
  readonly known?: readonly JournalEntry[] | undefined;
}

/**
 * Applies the changes after a tid, a page of them, and returns the tid up to which all are applied: `upto` at most. The number of statements
 * does not depend on the number of changes in a page.
 */
export async function advance(
  tx: Queryable,
  prepared: Prepared,
  { from, upto, into, known }: Advance,
): Promise<number> {
  const changes = new ChangedRows(prepared, into);
  if (known) {
    await changes.add(tx, known);
    await changes.finish(tx);
    return upto;
  }
  let at: Position = { tid: from };
  // More than one page only inside a tid that is larger than one: what is applied are whole tids.
  for (;;) {
    const page = await readPage(tx, { after: at, upto, ...PAGE });
    const last = page.cut ? page.entries.at(-1) : undefined;
    const inside = last !== undefined && page.entries[0]?.tid === last.tid;
    const whole = last === undefined || inside ? page.entries : page.entries.filter(({ tid }) => tid < last.tid);
    await changes.add(
      tx,
      whole.filter((entry) => concerns(prepared.projection, entry)),
    );
    if (inside) {
      at = after(last);
      continue;
    }
    await changes.finish(tx);
    return last === undefined ? upto : last.tid - 1;
  }
}

/** Folds apply changes page by page; for keyed projections what matters are the rows that were changed. */
class ChangedRows {
  readonly #prepared: Prepared;
  readonly #into: 'live' | 'rebuild';
  readonly #entries: JournalEntry[] = [];

  constructor(prepared: Prepared, into: 'live' | 'rebuild') {
    this.#prepared = prepared;
    this.#into = into;
  }

  async add(tx: Queryable, entries: readonly JournalEntry[]): Promise<void> {
    if (entries.length === 0) return;
    const { projection } = this.#prepared;
    if (projection.kind === 'keyed') this.#entries.push(...entries);
    else await projection.apply(tx, entries, (table) => quoteTable(this.#into === 'live' ? table : rebuildName(table)));
  }

  async finish(tx: Queryable): Promise<void> {
    const { projection, statements } = this.#prepared;
    if (projection.kind !== 'keyed' || this.#entries.length === 0) return;
    const parameters = await changedRows(tx, projection, this.#entries);
    const made = statements as KeyedStatements;
    if (isInline(projection) && this.#into === 'live') return computeLocked(tx, projection, made, parameters);
    await runSized(tx, made[this.#into], this.#entries.length, parameters);
  }
}

/** The ids and the old images of each source's changed rows, in turn: the parameters of what is made of `changed`. */
export async function changedRows(
  db: Queryable,
  projection: KeyedProjection,
  entries: readonly ChangedFields[],
): Promise<string[][]> {
  const parameters: string[][] = [];
  for (const source of projection.sources) {
    const own = entries.filter(({ resource }) => resource === source.resource.name);
    const left = own.filter((entry) => leavesKeys(source, entry));
    const fields = (source.keyFields ?? []).filter((field) => !source.resource.key.includes(field));
    const images = left.length === 0 ? [] : await imagesBefore(db, source.resource, left, fields);
    parameters.push([...new Set(own.map(({ id }) => id))], images);
  }
  return parameters;
}

// A row that is gone belonged to keys, and one that has moved to others than now.
function leavesKeys({ keyFields = [] }: KeyedSource, { change, values }: ChangedFields): boolean {
  return change === 'DELETE' || (change !== 'CREATE' && keyFields.some((field) => Object.hasOwn(values, field)));
}
