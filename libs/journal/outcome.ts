import { KernelError } from '#libs/database';
import type { Row } from './resource.ts';

/** A row to be created; its key (and row_version) are known after the flush. */
export interface Created<R = Row> {
  readonly row: R;
}

export interface SaveOptions<R> {
  readonly ifVersion?: number;
  /** Values that the row must have. A row without them, or none, is left alone, and nothing fails. */
  readonly when?: Partial<R>;
  /** Columns to be told of as the database has made them, beside the key and row_version. */
  readonly returning?: readonly (keyof R & string)[];
}

/** A row that is saved, known after the flush: the columns that were asked for; undefined when none was met, or none was asked for. */
export interface Saved<R = Row> {
  readonly row: Partial<R> | undefined;
}

/** A staged builder's outcome, after the flush. */
export interface Staged {
  readonly rowCount: number;
  readonly rows: Row[];
}

/** What a change has led to: known after the flush. */
export class Outcome<T> {
  readonly #what: string;
  #known: { readonly value: T } | undefined;

  constructor(what: string) {
    this.#what = what;
  }

  readonly settle = (value: T): void => {
    this.#known = { value };
  };

  /** Throws `conflict` before the flush. */
  get value(): T {
    if (!this.#known) throw new KernelError('conflict', `${this.#what} is known after the flush only`);
    return this.#known.value;
  }
}
