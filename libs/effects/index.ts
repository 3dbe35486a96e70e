export { type Cause, causeOf, LONGEST_CHAIN } from './cause.ts';
export { type CausedBy, withCauses } from './causes.queries.ts';
export {
  type Effect,
  type EffectId,
  type EffectListener,
  effectKey,
  GiveUp,
  parseEffectKey,
  pauseAfter,
  TryLater,
} from './effect.ts';
export { forgetListener, placeListener } from './effects.queries.ts';
export {
  changeEffects,
  discardEffects,
  EFFECT_STATES,
  type EffectChange,
  type EffectFilter,
  type EffectRow,
  type EffectState,
  type EffectStory,
  findEffect,
  listEffects,
  type PastAttempt,
  retryEffects,
} from './effects-admin.queries.ts';
export { EffectLedger, type EffectLedgerOptions } from './ledger.ts';
export type { ListenerSource } from './listener-source.ts';
export {
  COUNTED,
  LATEST,
  type ListenerRow,
  listListeners,
  pauseListener,
  resetListener,
} from './listeners-admin.queries.ts';
export { Pruner, type PrunerOptions } from './pruner.ts';
export { removeListener } from './remove-listener.ts';
export type { EffectListenerStatus } from './runner.ts';
