import { defineResource } from '#libs/journal';

export const FINDING_STATES = ['open', 'resolved', 'accepted'] as const;
export type FindingState = (typeof FINDING_STATES)[number];

/** One violation of one rule, found once or a thousand times. */
export interface FindingRow {
  readonly id: number;
  /** What makes two of them the same one. */
  readonly key: string;
  readonly check_name: string;
  readonly resource: string;
  readonly row_id: string;
  readonly field: string | null;
  readonly kind: string;
  readonly expected: unknown;
  readonly actual: unknown;
  readonly since_tid: number | null;
  readonly place: string;
  readonly state: FindingState;
  readonly first_seen: string;
  readonly resolved: string | null;
  readonly resolved_by: string | null;
  readonly reason: string | null;
}

/** Journaled, so a new finding is told to feeds, streams and listeners as any other change is. */
export const finding = defineResource<FindingRow>({ name: 'finding', table: 'tidemark.finding' });
