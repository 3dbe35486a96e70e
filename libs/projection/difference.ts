/** One thing in which a projection's table is not what it should be. */
export interface Difference {
  readonly projection: string;
  readonly table: string;
  /** A row that should be there and is not, one that should not be, one with another value, one that is there twice. */
  readonly kind: 'missing' | 'extra' | 'wrong' | 'duplicate';
  /** The row's primary key, in key order. */
  readonly id: readonly unknown[];
  /** The column, where a value is wrong. */
  readonly field: string | null;
  readonly expected: unknown;
  readonly actual: unknown;
  /** A change that the projection has not applied yet may be the reason. */
  readonly stale: boolean;
}

type Values = Record<string, unknown> | null;

/** The differences of one row: a wrong one has one for each column. */
export function differencesOf(
  about: Pick<Difference, 'projection' | 'table' | 'id' | 'stale'>,
  { expected, actual, copy }: { expected: Values; actual: Values; copy: number },
): Difference[] {
  if (copy > 1) return [{ ...about, kind: 'duplicate', field: null, expected: null, actual }];
  if (!expected) return [{ ...about, kind: 'extra', field: null, expected, actual }];
  if (!actual) return [{ ...about, kind: 'missing', field: null, expected, actual }];
  return Object.keys(expected)
    .filter((field) => JSON.stringify(expected[field]) !== JSON.stringify(actual[field]))
    .map((field) => ({
      ...about,
      kind: 'wrong',
      field,
      expected: expected[field] ?? null,
      actual: actual[field] ?? null,
    }));
}
