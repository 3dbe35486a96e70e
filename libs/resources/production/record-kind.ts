import type { Resource } from '#libs/journal';
import { parseRowId } from '../row-id.ts';

/** What a field of a record may hold, and how it is written. */
export type Field = FieldType & {
  /** A record cannot be made without it. */
  readonly required?: true;
  /** Given when a record is made, and never again. */
  readonly fixed?: true;
  /** Follows from other things: nobody gives it. */
  readonly derived?: true;
  /** May be null, and is unless it is given. */
  readonly nullable?: true;
  /** Lists can be asked for records with one value of it. */
  readonly filter?: true;
};

export type FieldType =
  /** Of one line, or of several; the limit is in characters. */
  | { readonly type: 'text'; readonly limit: number; readonly lines?: true }
  | { readonly type: 'choice'; readonly of: readonly string[] }
  | { readonly type: 'integer'; readonly from: number; readonly to: number }
  | { readonly type: 'boolean' }
  | { readonly type: 'day' }
  | { readonly type: 'moment' }
  /** The id of another record: one of the same project, where both belong to one. */
  | { readonly type: 'reference'; readonly to: RecordName; readonly list?: true }
  /** The id of what `entity_type` names. */
  | { readonly type: 'entity' };

export type RecordName =
  | 'project'
  | 'sequence'
  | 'shot'
  | 'asset'
  | 'person'
  | 'task_type'
  | 'task_status'
  | 'task'
  | 'task_comment';

/** Records that stand in the way of deleting one: those of a table that name it in a column. */
export interface Dependents {
  readonly table: RecordName;
  readonly column: string;
  /** The column is a list. */
  readonly list?: true;
}

/** One kind of record: what is said here is all that its routes, checks and statements are made of. */
export interface RecordKind {
  readonly resource: Resource;
  readonly name: RecordName;
  /** A number that the database gives, or a short name that its maker gives. */
  readonly id: 'number' | 'name';
  /** The column that names the project, if it belongs to one. */
  readonly project?: 'id' | 'project_id';
  readonly fields: Readonly<Record<string, Field>>;
  readonly dependents: readonly Dependents[];
}

/** A record as clients see it: ids as text, moments in UTC with milliseconds, and the version of its row. */
export type Shown = Readonly<Record<string, unknown>> & { readonly id: string; readonly row_version: number };

/** The fields that a maker or changer of a record may give. */
export function givenFields({ fields }: RecordKind, when: 'create' | 'change'): [string, Field][] {
  return Object.entries(fields).filter(([, field]) => !field.derived && (when === 'create' || !field.fixed));
}

/** What a kind is called in a sentence. */
export function nounOf({ name }: Pick<RecordKind, 'name'>): string {
  return name.replace('_', ' ');
}

const NAME = /^[a-z0-9][a-z0-9_.-]{0,49}$/;

/** The id of a text or a number as it is kept; undefined for what no record of the kind can be called. */
export function parseId(kind: Pick<RecordKind, 'id'>, given: unknown): string | undefined {
  const text = typeof given === 'number' ? String(given) : given;
  if (typeof text !== 'string') return undefined;
  if (kind.id === 'name') return NAME.test(text) && text !== 'all' ? text : undefined;
  return parseRowId(text) === undefined ? undefined : text;
}
