import { hash } from 'node:crypto';
import type { ConnectionSource, Queryable } from '#libs/database';
import type { Actor, Writer } from '#libs/journal';
import type { RebuildSource } from '#libs/projection';

/** One violation of a rule, as a check sees it now. */
export interface Found {
  /** The row, as the journal spells its id. Empty: it is about the whole. */
  readonly id: string;
  readonly field: string | null;
  /** What kind of violation: `wrong`, `missing`, `extra` and `duplicate` are those of values and rows. */
  readonly kind: string;
  readonly expected: unknown;
  readonly actual: unknown;
  /** Up to this tid all was well, as far as anybody can tell. */
  readonly since: number | null;
  /** How its check finds it again; the id unless given. */
  readonly place?: string;
  /** A change that is still to be applied may be the reason: that is lag, not damage. */
  readonly stale?: boolean;
}

/** What to look at: the next rows after a place (null: from the first on), at most so many, or nothing but some places. */
export type Look = { readonly after: string | null; readonly limit: number } | { readonly places: readonly string[] };

export interface Looked {
  readonly found: readonly Found[];
  /** How many rows were looked at. */
  readonly rows: number;
  /** Where to go on, `after` of the next look; null at the end. */
  readonly next: string | null;
  /** Why there is nothing to be said now: what it is about is being made anew, say. */
  readonly skipped?: string;
  /** There is more than was found, and nobody knows how much. */
  readonly cut?: boolean;
}

/** A rule about the data, for definePlugin(): how it is looked at and, where that is possible, how it is mended. */
export interface CheckDefinition {
  /** Small letters and digits, parted by `-` or `_`. */
  readonly name: string;
  /** What its findings are about: a resource, or another name. */
  readonly resource: string;
  /** Reads in one snapshot that sees nothing of what is changed meanwhile. */
  find(db: Queryable, look: Look): Promise<Looked>;
  /** Mends violations, by changes of the actor. Without it they can only be seen. */
  repair?(writer: Writer, actor: Actor, found: readonly Found[]): Promise<void>;
}

/** Which of two sides is believed where a row and its journal differ. */
export type Accept = 'model' | 'journal';

/** What repairing one violation would do, in a sentence; or why it cannot be done. `keep`: the violation stays, and is accepted as it is. */
export type SettledPlan = { readonly does: string; readonly keep?: boolean } | { readonly refused: string };

/** Or what it would do depends on which side is believed, which nobody has said yet; and what to say to somebody who has it done. */
export type Plan = SettledPlan | { readonly either: Readonly<Record<Accept, SettledPlan>>; readonly undecided: string };

/** What repairs work with. */
export interface RepairTools {
  readonly database: ConnectionSource & Queryable & RebuildSource;
  atomic<T>(work: (writer: Writer) => Promise<T>): Promise<T>;
}

/** A check of one resource or projection. */
export interface Check {
  readonly name: string;
  readonly resource: string;
  /** It cannot be looked at in parts: one look is all of it. */
  readonly whole: boolean;
  find(look: Look): Promise<Looked>;
  /** Throws `invalid` when it is told to believe what makes no sense. */
  plan(found: Found, accept: Accept | undefined): Plan;
  /** Repairs what its plans said, all or nothing. What is accepted as it is needs no repair. */
  apply(tools: RepairTools, actor: Actor, found: readonly Found[], accept: Accept | undefined): Promise<void>;
}

export function placeOf({ place, id }: Found): string {
  return place ?? id;
}

/** What two findings have in common that are the same one. */
export function findingKey(check: Pick<Check, 'name' | 'resource'>, found: Found): string {
  const parts = [check.name, check.resource, placeOf(found), found.id, found.field, found.kind];
  return hash('sha256', JSON.stringify(parts));
}
