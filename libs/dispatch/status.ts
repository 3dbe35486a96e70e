import type { Queryable } from '#libs/database';
import { frontier } from '#libs/journal';
import { type FloorHolder, floorHolders, livingProcesses, type ProcessStatus } from './dispatch.queries.ts';

/** Where the journal stands, as the database knows it: needs no running dispatcher. */
export interface JournalStatus {
  /** The highest tid ever drawn. */
  readonly head: number;
  /** The highest tid up to which nothing can appear any more. */
  readonly safe: number;
  /** Open transactions below the head; the first one is what holds the tail when safe is below head. */
  readonly floorHolders: readonly FloorHolder[];
  readonly processes: readonly ProcessStatus[];
}

/** Reads where the journal stands and who holds it. Must not run inside a repeatable-read transaction. */
export async function tailStatus(db: Queryable): Promise<JournalStatus> {
  const { head, safe } = await frontier(db);
  const holders = await floorHolders(db);
  const processes = await livingProcesses(db);
  return { head, safe, floorHolders: holders.filter((holder) => holder.floor < head), processes };
}
