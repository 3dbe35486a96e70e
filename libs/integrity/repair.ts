import { KernelError, translate } from '#libs/database';
import type { Actor, Writer } from '#libs/journal';
import { asActor } from './as-actor.ts';
import {
  type Accept,
  type Check,
  type Found,
  findingKey,
  type Look,
  type Plan,
  placeOf,
  type RepairTools,
} from './check.ts';
import { endFindings, lockFindings } from './findings.queries.ts';
import { record, resolveOthers } from './findings.ts';

const PAGE = 1_000;

/** What to repair: everything that some checks find, or what they find at one place. */
export interface RepairTarget {
  readonly checks: readonly Check[];
  readonly places?: readonly string[];
}

/** A violation, what is to be done about it, and what became of that. */
export interface Repair {
  readonly check: Check;
  readonly found: Found;
  readonly plan: Plan;
  /** `planned`: nothing is changed in a dry run; `left`: it is still there after it was repaired. */
  readonly outcome: 'planned' | 'done' | 'refused' | 'left';
}

export interface RepairOptions {
  /** Whose change it is; its comment is the reason. */
  readonly actor: Actor;
  readonly accept?: Accept | undefined;
  /** Otherwise only what would be done is told. */
  readonly apply: boolean;
  onRepair?(repair: Repair): void | Promise<void>;
}

export interface Repaired {
  readonly differences: number;
  readonly done: number;
  readonly refused: number;
  readonly left: number;
}

/**
 * Looks anew, says what is to be done about each violation, does it when it is told to, and looks once more. Again it finds nothing to do.
 * Throws `invalid` without a reason, and when it has to be told which side to believe; `conflict` when another change came in between,
 * or a rule of the table forbids what the journal says: then nothing of that page is changed.
 */
export async function repair(
  tools: RepairTools & { readonly writer: Writer },
  { checks, places }: RepairTarget,
  options: RepairOptions,
): Promise<Repaired> {
  if (options.apply && !options.actor.comment?.trim()) throw new KernelError('invalid', 'a repair needs a reason');
  const sum = { differences: 0, done: 0, refused: 0, left: 0 };
  for (const check of checks) {
    let look: Look | null = places ? { places } : { after: null, limit: PAGE };
    while (look !== null) {
      const looked = await check.find(look);
      if (looked.skipped !== undefined && looked.found.length === 0 && places === undefined) break;
      const found = looked.found.filter(({ stale }) => !stale);
      for (const one of await repairPage(tools, check, found, options)) {
        sum.differences += 1;
        if (one.outcome !== 'planned') sum[one.outcome] += 1;
        await options.onRepair?.(one);
      }
      look = looked.next === null ? null : { after: looked.next, limit: PAGE };
    }
  }
  return sum;
}

async function repairPage(
  tools: RepairTools & { readonly writer: Writer },
  check: Check,
  seen: readonly Found[],
  { actor, accept, apply }: RepairOptions,
): Promise<Repair[]> {
  // what was accepted before is no difference any more
  const recorded = await record(tools.writer, actor, check, seen);
  const open = recorded.filter(({ state }) => state === 'open');
  const planned = open.map((one) => ({ ...one, plan: check.plan(one.found, accept) }));
  const repairs = planned.map(({ found, plan }) => ({ check, found, plan }));
  if (!apply || planned.length === 0) return repairs.map((one) => ({ ...one, outcome: 'planned' as const }));
  for (const { plan } of planned) if ('either' in plan) throw new KernelError('invalid', plan.undecided);
  const mended = planned.filter(({ plan }) => 'does' in plan && !plan.keep);
  const kept = planned.filter(({ plan }) => 'does' in plan && plan.keep === true);
  if (mended.length > 0) {
    await applyTo(
      tools,
      check,
      mended.map(({ found }) => found),
      actor,
      accept,
    );
  }
  const left = await endMended(tools.writer, check, mended, actor);
  if (kept.length > 0) await endKept(tools.writer, kept, actor);
  return repairs.map((one) => {
    if ('refused' in one.plan) return { ...one, outcome: 'refused' as const };
    return { ...one, outcome: left.has(findingKey(check, one.found)) ? ('left' as const) : ('done' as const) };
  });
}

async function applyTo(
  tools: RepairTools,
  check: Check,
  found: readonly Found[],
  actor: Actor,
  accept: Accept | undefined,
): Promise<void> {
  try {
    await check.apply(tools, actor, found, accept);
  } catch (error) {
    const known = translate(error);
    if (!(known instanceof KernelError)) throw error;
    const rows = [...new Set(found.map(({ id }) => id))];
    const which = rows.length === 1 ? `${check.resource} ${rows[0]}` : `${rows.length} rows of ${check.resource}`;
    throw new KernelError('conflict', `${which} cannot be repaired so: ${known.message}`, { cause: error });
  }
}

/** What is found at these places no more is resolved by the actor. Returns the keys of what still is, or could not be looked at. */
async function endMended(
  writer: Writer,
  check: Check,
  mended: readonly { found: Found; finding: number }[],
  actor: Actor,
): Promise<Set<string>> {
  if (mended.length === 0) return new Set();
  const places = [...new Set(mended.map(({ found }) => placeOf(found)))];
  const again = await check.find(check.whole ? { after: null, limit: PAGE } : { places });
  // nobody has looked, or not at all of it: a later look tells
  if (again.skipped !== undefined || again.cut) return new Set(mended.map(({ found }) => findingKey(check, found)));
  const open = mended.map(({ found, finding }) => ({
    ...{ id: finding, key: findingKey(check, found), place: placeOf(found) },
  }));
  const end = { by: actor.author, reason: actor.comment ?? null };
  await resolveOthers(writer, actor, check, open, again.found, end);
  return new Set(again.found.filter(({ stale }) => !stale).map((one) => findingKey(check, one)));
}

async function endKept(writer: Writer, kept: readonly { finding: number }[], actor: Actor): Promise<void> {
  const end = { state: 'accepted', by: actor.author, reason: actor.comment ?? null } as const;
  await asActor(writer, actor, async (tx) => {
    await lockFindings(tx);
    await endFindings(
      tx,
      kept.map(({ finding }) => finding),
      end,
    );
  });
}
