import type { Row } from '#libs/journal';

/** What caused a change, in its `meta.cause`: an effect's change, and how many of them stand in a row. */
export interface Cause {
  readonly tid: number;
  readonly listener: string;
  readonly depth: number;
}

/** Changes that cause one another, at most: then it is a loop, and it is cut. */
export const LONGEST_CHAIN = 16;

/** What caused a change; undefined for one that no effect has made. */
export function causeOf({ meta }: { readonly meta: Row | null }): Cause | undefined {
  const cause = meta?.['cause'] as Partial<Cause> | null | undefined;
  const known =
    Number.isSafeInteger(cause?.tid) && typeof cause?.listener === 'string' && typeof cause.depth === 'number';
  return known ? (cause as Cause) : undefined;
}
