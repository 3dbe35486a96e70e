import type { EffectListener } from './effect.ts';

/**
 * Listeners that come and go while the ledger runs, such as one for each webhook. Their positions belong to whatever they belong to: made
 * with it, deleted with it.
 */
export interface ListenerSource {
  /** Up to this tid `listeners` tells what the journal holds; -1 while that is not known: then nothing is entered for them. */
  readonly position: number;
  /** Those that there are now. One that stays keeps its object, whatever becomes of its filter. */
  readonly listeners: readonly EffectListener[];
  /** Makes positions that are missing, for what there is. Called when the ledger starts, and when this process comes back from the dead. */
  place(): Promise<void>;
}
