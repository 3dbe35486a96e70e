import { type RawBuilder, sql } from 'kysely';
import { KernelError } from '#libs/database';

/**
 * What a change depends on: that its row does not exist, exists, or stands at one of some version tags (RFC 9110, section 13.1). It is
 * judged on the locked row.
 */
export type Condition =
  | { readonly kind: 'absent' }
  | { readonly kind: 'present' }
  | { readonly kind: 'version'; readonly tags: readonly string[] };

/** The tag of one version of a row: no two versions share it, nor do two rows that bear one name after each other. */
export function versionTag(row: { readonly id: string | number; readonly row_version: number }): string {
  return `${row.id}-${row.row_version}`;
}

/** A condition as SQL over a row with `id` and `row_version`. */
export function atVersion(condition: Condition | undefined): RawBuilder<boolean> {
  if (condition?.kind !== 'version') return sql<boolean>`${sql.lit(condition?.kind !== 'absent')}`;
  return sql<boolean>`concat(id, '-', row_version) = ANY (${condition.tags})`;
}

/** Whether a condition holds of a row at a tag, or of none. */
export function holds(condition: Condition | undefined, tag: string | undefined): boolean {
  if (condition === undefined) return true;
  if (condition.kind === 'version') return tag !== undefined && condition.tags.includes(tag);
  return (condition.kind === 'present') === (tag !== undefined);
}

/** The error of a condition that does not hold. `what` names the row; the tag is that of the version which stands. */
export function staleError(condition: Condition, what: string, tag?: string): KernelError {
  if (tag === undefined) return new KernelError('stale', `${what} does not exist`);
  const message = condition.kind === 'absent' ? `${what} exists` : `${what} has changed: it is at version "${tag}" now`;
  return new KernelError('stale', message, { version: tag });
}
