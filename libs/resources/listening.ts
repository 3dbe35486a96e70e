import type { Effect, EffectListener } from '#libs/effects';
import type { Change, JournalEntry } from '#libs/journal';

/** What a typed listener is told of a change beside what it means. */
export interface Told {
  /** As the journal has it: who, when, why, and every field's old and new value. */
  readonly change: Change;
  /** The effect that the listener is to bring about; absent where it is not called for effects. */
  readonly effect?: Effect;
}

/** Values that fields had before a change, by field. */
export type OldValues = Readonly<Record<string, unknown>>;

/**
 * Where a typed listener is called: `primary` (the default) for each change in one process, through the effect ledger, for side effects;
 * `secondary` in every process but the one that made it; `everywhere` in every process, once, for what is kept in memory.
 */
export type CalledAs = 'primary' | 'secondary' | 'everywhere';

/** How a typed listener is called; start, concurrency, rate and attempts count for primary changes. */
export interface ListeningOptions extends Pick<EffectListener, 'name' | 'start' | 'concurrency' | 'rate' | 'attempts'> {
  readonly as?: CalledAs;
}

/** A listener for the kernel out of what tells a typed listener of one entry. */
export function listening(
  { as = 'primary', name, start, concurrency, rate, attempts }: ListeningOptions,
  resources: readonly string[],
  tell: (entry: JournalEntry, effect?: Effect) => Promise<void>,
): EffectListener {
  return {
    ...{ name, resources },
    ...(start && { start }),
    ...(concurrency !== undefined && { concurrency }),
    ...(rate !== undefined && { rate }),
    ...(attempts !== undefined && { attempts }),
    ...(as === 'primary' && { onPrimary: tell }),
    ...(as === 'secondary' && { onSecondary: (entry: JournalEntry) => tell(entry) }),
    ...(as === 'everywhere' && { onDelivered: (entry: JournalEntry) => tell(entry) }),
  };
}

/** What the fields of a change held before, by name, without some that only count. */
export function oldValues({ fields }: Change, without: readonly string[] = []): OldValues {
  const names = Object.keys(fields).filter((name) => !without.includes(name));
  return Object.fromEntries(names.sort().map((name) => [name, fields[name]?.old]));
}
