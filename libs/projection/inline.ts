import { type Connection, isUnreachable, KernelError, type Queryable } from '#libs/database';
import { changedRows, type Prepared, prepare } from './advance.ts';
import { atVersion, claimVersion, endDeferring, holdTables, ownChanges } from './inline.queries.ts';
import { computeLocked, lockKeys } from './key-locks.ts';
import type { KeyedStatements } from './keyed-statements.ts';
import { storedProjection } from './projection.queries.ts';
import { concerns, type KeyedProjection, sourcesOf, unregistered } from './projection.ts';

/** The inline projections of a process: what it changes itself they reflect at once. They are followed as all others are. */
export class InlineProjections {
  #projections: readonly KeyedProjection[] = [];
  readonly #prepared = new Map<string, Prepared>();

  /** In one order in all processes: that of their names. */
  add(projection: KeyedProjection): void {
    this.#projections = [...this.#projections, projection].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get any(): boolean {
    return this.#projections.length > 0;
  }

  /**
   * Computes, as the last thing in a transaction, the keys that its changes concern; whatever fails is to fail the transaction. The rows of
   * another version of a definition it leaves alone.
   */
  async compute(tx: Connection): Promise<void> {
    await endDeferring(tx);
    const resources = this.#projections.flatMap(sourcesOf).map(({ name }) => name);
    const changes = await ownChanges(tx, [...new Set(resources)]);
    const concerned = this.#projections.filter((one) => changes.some((change) => concerns(one, change)));
    if (concerned.length === 0) return;
    // Before the versions are read: the rebuild of another one might exchange a table in between.
    await holdTables(tx, concerned);
    const made = await atVersion(tx, concerned);
    for (const projection of concerned.filter(({ name }) => made.has(name))) {
      const own = changes.filter((change) => concerns(projection, change));
      const changed = await changedRows(tx, projection, own);
      await computeLocked(tx, projection, await this.#statements(tx, projection), changed).catch((error: unknown) => {
        // the tables may have been changed
        this.#prepared.delete(projection.name);
        throw error;
      });
    }
  }

  /** Throws `configuration` when one cannot be computed; else those that have still to be made are this version's from here on. */
  async check(db: Queryable): Promise<void> {
    for (const projection of this.#projections) {
      const statements = await this.#statements(db, projection);
      await lockKeys(db, projection, statements, ['[]']);
      await tryOut(db, projection, statements);
      if (!(await storedProjection(db, projection.name))) throw unregistered(projection.name);
      await claimVersion(db, projection);
    }
  }

  async #statements(db: Queryable, projection: KeyedProjection): Promise<KeyedStatements> {
    const { name } = projection;
    const prepared = this.#prepared.get(name) ?? (await prepare(db, projection));
    this.#prepared.set(name, prepared);
    return prepared.statements as KeyedStatements;
  }
}

/** Lets the database plan what each change will run. */
async function tryOut(
  db: Queryable,
  { name, sources }: KeyedProjection,
  { changedKeys, liveSome }: KeyedStatements,
): Promise<void> {
  try {
    await db.query(
      `EXPLAIN ${changedKeys.many.text}`,
      sources.flatMap(() => [[], []]),
    );
    await db.query(`EXPLAIN ${liveSome.many.text}`, [[]]);
  } catch (error) {
    if (isUnreachable(error)) throw error;
    const message = `the inline projection ${name} cannot be computed: ${(error as Error).message}`;
    throw new KernelError('configuration', message, { cause: error });
  }
}
