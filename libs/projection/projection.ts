import { KernelError, type Queryable } from '#libs/database';
import type { JournalEntry, Resource } from '#libs/journal';

interface Common {
  /** As `tidemark.projection()` was told it in a migration. */
  readonly name: string;
  /** To be raised whenever the definition changes: another one than the stored version is rebuilt before it is followed. */
  readonly version: number;
}

/** What a keyed projection follows: a journaled table, and which keys a change of one of its rows concerns. */
export interface KeyedSource {
  readonly resource: Resource;
  /** Only changes of these fields; a CREATE and a DELETE always count. */
  readonly fields?: readonly string[];
  /** The fields by which a row belongs to its keys: when one of them changes, the keys that it belonged to before count, too. */
  readonly keyFields?: readonly string[];
  /**
   * A SELECT of the key columns, in order, over `changed`: rows of the source's table (as they are, and as they were where `keyFields`
   * changed or the row is gone; of those only the fields in `keyFields` and the row's own key can be relied on).
   */
  readonly keys: string;
}

/**
 * Rows that are computed from source rows, key by key: `rows` is all there is to know, and from it the library makes the live update, the
 * rebuild and the comparison.
 */
export interface KeyedProjection extends Common {
  readonly kind: 'keyed';
  /** An ordinary table with a primary key; not journaled. */
  readonly table: string;
  /** Columns of its primary key, the first ones at least, none of them NULL: what is computed anew as a whole. */
  readonly key: readonly string[];
  readonly sources: readonly KeyedSource[];
  /** A SELECT of all columns of the table, by name, over `keys`: the key columns of what is to be computed, each key once. */
  readonly rows: string;
  /**
   * Whether the program's own transactions compute the keys that they concern before they commit, too: who reads after the commit sees
   * rows that reflect the change, and a change that the table refuses fails. Costs every change of its sources; default false.
   */
  readonly inline?: boolean;
}

/** What is computed from the changes themselves, in tid order. */
export interface FoldProjection extends Common {
  readonly kind: 'fold';
  readonly tables: readonly string[];
  readonly sources: readonly Resource[];
  /**
   * Applies changes to the tables. It must depend on nothing but them and what it wrote before: neither on other tables nor on the clock.
   * `table` gives a table's name as SQL is to write it: a rebuild writes others.
   */
  apply(db: Queryable, changes: readonly JournalEntry[], table: (name: string) => string): Promise<void>;
}

/** Derived tables that are kept with the tid they reflect: checkpoint and rows change in one transaction. */
export type Projection = KeyedProjection | FoldProjection;

const defined = new WeakSet<object>();
const NAME = /^[a-z][a-z0-9_]{0,49}$/;

/** Defines a projection. Throws `configuration` with a sentence when it cannot work. */
export function defineProjection<P extends Projection>(projection: P): P {
  const { name, version } = projection;
  const refuse = (what: string) => new KernelError('configuration', `projection ${JSON.stringify(name)}: ${what}`);
  if (!NAME.test(name)) throw refuse('its name must be small letters, digits and underscores, at most 50');
  if (!Number.isInteger(version) || version < 1) throw refuse('its version must be a whole number from 1 on');
  if (projection.sources.length === 0) throw refuse('it follows nothing');
  if (projection.kind === 'keyed' && projection.key.length === 0) throw refuse('it has no key');
  if (projection.kind === 'fold' && projection.tables.length === 0) throw refuse('it has no table');
  if (projection.kind === 'fold' && (projection as { inline?: boolean }).inline) {
    throw refuse(
      'a fold cannot be inline: it needs each change in tid order, and those before it may not be committed',
    );
  }
  defined.add(projection);
  return Object.freeze(projection);
}

/** Whether a value was made by this program's defineProjection(). */
export function isProjection(value: unknown): value is Projection {
  return typeof value === 'object' && value !== null && defined.has(value);
}

export function isInline(projection: Projection): projection is KeyedProjection {
  return projection.kind === 'keyed' && projection.inline === true;
}

export function unregistered(name: string): KernelError {
  return new KernelError('configuration', `no migration has called tidemark.projection('${name}', …)`);
}

export function tablesOf(projection: Projection): readonly string[] {
  return projection.kind === 'keyed' ? [projection.table] : projection.tables;
}

export function sourcesOf(projection: Projection): readonly Resource[] {
  return projection.kind === 'keyed' ? projection.sources.map(({ resource }) => resource) : projection.sources;
}

/** Of a change: its row, and the names of its fields. */
export type ChangedFields = Pick<JournalEntry, 'tid' | 'resource' | 'id' | 'change' | 'values'>;

/** Whether a change concerns a projection. */
export function concerns(projection: Projection, { resource, change, values }: ChangedFields): boolean {
  if (projection.kind === 'fold') return projection.sources.some(({ name }) => name === resource);
  return projection.sources.some(
    (source) =>
      source.resource.name === resource &&
      (!source.fields ||
        change === 'CREATE' ||
        change === 'DELETE' ||
        source.fields.some((field) => Object.hasOwn(values, field))),
  );
}
