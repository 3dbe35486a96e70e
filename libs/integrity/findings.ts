import { KernelError, type Queryable } from '#libs/database';
import type { Actor, Writer } from '#libs/journal';
import { asActor } from './as-actor.ts';
import { type Check, type Found, findingKey, placeOf } from './check.ts';
import type { FindingState } from './finding.ts';
import {
  endFindings,
  type FindingView,
  insertFindings,
  lockFindings,
  type NewFinding,
  reopenFindings,
  seeFindings,
  selectFinding,
  selectOpen,
} from './findings.queries.ts';

const MOST_TEXT = 2_000;

/** A violation that was entered. */
export interface Recorded {
  readonly found: Found;
  /** The number of its finding. */
  readonly finding: number;
  readonly state: FindingState;
}

/** Enters what a check has found: each violation once, however often it is found. What is stale is left out. */
export async function record(writer: Writer, actor: Actor, check: Check, found: readonly Found[]): Promise<Recorded[]> {
  const byKey = new Map(found.filter(({ stale }) => !stale).map((one) => [findingKey(check, one), one]));
  if (byKey.size === 0) return [];
  const entered = JSON.stringify([...byKey].map(([key, one]) => toRow(check, key, one)));
  return asActor(writer, actor, async (tx) => {
    await lockFindings(tx);
    await insertFindings(tx, entered);
    await reopenFindings(tx, entered);
    const rows = await seeFindings(tx, [...byKey.keys()]);
    return rows.map(({ id, key, state }) => ({ found: byKey.get(key) as Found, finding: id, state }));
  });
}

/**
 * Looks again at open findings of a check, those first that were not looked at for longest: notes those that are found again, and resolves
 * those that are not.
 */
export async function lookAgain(
  { writer, database }: { writer: Writer; database: Queryable },
  actor: Actor,
  check: Check,
  limit: number,
): Promise<{ resolved: number }> {
  const open = await selectOpen(database, check, limit);
  if (open.length === 0) return { resolved: 0 };
  const looked = await check.find({ places: [...new Set(open.map(({ place }) => place))] });
  if (looked.skipped !== undefined) return { resolved: 0 };
  await record(writer, actor, check, looked.found);
  return resolveOthers(writer, actor, check, open, looked.found);
}

/** Resolves those of some open findings that a look at all of their places has not found. */
export async function resolveOthers(
  writer: Writer,
  actor: Actor,
  check: Check,
  open: readonly { id: number; key: string; place: string }[],
  found: readonly Found[],
  end: { by: string | null; reason: string | null } = { by: null, reason: null },
): Promise<{ resolved: number }> {
  const keys = new Set(found.map((one) => findingKey(check, one)));
  // behind a change that waits anything may hide
  const stale = new Set(found.filter((one) => one.stale).map(placeOf));
  const gone = open.filter(({ key, place }) => !keys.has(key) && !stale.has(place)).map(({ id }) => id);
  if (gone.length === 0) return { resolved: 0 };
  await asActor(writer, actor, async (tx) => {
    await lockFindings(tx);
    await endFindings(tx, gone, { state: 'resolved', ...end });
  });
  return { resolved: gone.length };
}

/** The finding of a number. KernelError `not_found`. */
export async function getFinding(db: Queryable, id: number): Promise<FindingView> {
  const finding = await selectFinding(db, id);
  if (finding === undefined) throw new KernelError('not_found', `there is no finding ${id}`);
  return finding;
}

function toRow(check: Check, key: string, found: Found): NewFinding {
  return {
    key,
    ...{ check_name: check.name, resource: check.resource, row_id: found.id, field: found.field, kind: found.kind },
    ...{ expected: cut(found.expected), actual: cut(found.actual), since_tid: found.since, place: placeOf(found) },
  };
}

/** A value as a finding keeps it: the journal has the whole. */
function cut(value: unknown): unknown {
  const text = JSON.stringify(value) ?? 'null';
  return text.length <= MOST_TEXT ? value : `${text.slice(0, MOST_TEXT)}… (${text.length} characters)`;
}
