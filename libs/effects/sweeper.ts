import { type ConnectionSource, type Queryable, runInTransaction } from '#libs/database';
import { after, wants } from '#libs/dispatch';
import { type JournalEntry, type Position, readPage } from '#libs/journal';
import type { EffectId, EffectListener } from './effect.ts';
import { advance, enter, lockPositions, type PositionRow } from './effects.queries.ts';

const PAGE = 2_000;
const BYTES = 8 * 1024 * 1024;

/** Whether a change was made with the wish that it have no side effects: `meta.effects = false`, which importer and owner may say. */
export function muted(entry: JournalEntry): boolean {
  return entry.meta?.['effects'] === false;
}

/**
 * Enters effects that the process which made a change has not entered itself: because it died, because it was slow, or because there is
 * none. Works on the positions that no other process works on. Returns the tid that all its listeners have reached.
 */
export async function sweep(
  database: ConnectionSource,
  listeners: ReadonlyMap<string, EffectListener>,
  upto: number,
): Promise<number> {
  return runInTransaction(database, async (tx) => {
    const positions = await lockPositions(tx, [...listeners.keys()], upto);
    return positions.length === 0 ? upto : sweepFrom(tx, listeners, positions, upto);
  });
}

async function sweepFrom(
  tx: Queryable,
  listeners: ReadonlyMap<string, EffectListener>,
  positions: readonly PositionRow[],
  upto: number,
): Promise<number> {
  const start = Math.min(...positions.map(({ tid }) => tid));
  let at: Position = { tid: start };
  let reached = start;
  // More than one page only inside a tid that is larger than one.
  while (reached === start && start < upto) {
    const page = await readPage(tx, { after: at, upto, limit: PAGE, bytes: BYTES });
    await enter(tx, matches(listeners, positions, page.entries));
    const last = page.cut ? page.entries.at(-1) : undefined;
    reached = last ? last.tid - 1 : upto;
    if (last) at = after(last);
  }
  await advance(
    tx,
    positions.map(({ listener }) => listener),
    reached,
  );
  return reached;
}

function matches(
  listeners: ReadonlyMap<string, EffectListener>,
  positions: readonly PositionRow[],
  entries: readonly JournalEntry[],
): (EffectId & { origin: string | null })[] {
  return entries
    .filter((entry) => !muted(entry))
    .flatMap((entry) =>
      positions
        .filter(({ listener, tid }) => entry.tid > tid && wants(listeners.get(listener) as EffectListener, entry))
        .map(({ listener }) => ({
          listener,
          tid: entry.tid,
          resource: entry.resource,
          id: entry.id,
          origin: entry.origin,
        })),
    );
}
