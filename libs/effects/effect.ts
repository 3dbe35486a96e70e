import type { Listener } from '#libs/dispatch';
import type { Actor, JournalEntry, Writer } from '#libs/journal';

/** What a listener is told of the effect that it is to bring about. */
export interface Effect {
  /** `tid:resource:id:listener`: the same at every attempt. An external receiver that is given it can tell a repetition. */
  readonly key: string;
  /** 1 for the first. */
  readonly attempt: number;
  /** The actor for changes that this effect makes: they bear the tid that has caused them. */
  actor(actor: Actor): Actor;
  /**
   * Runs work in one transaction together with the news that the effect is done: both are there, or neither. An effect that only writes
   * through this Writer happens exactly once. Its changes bear the tid that has caused them. Throws `conflict` when another process has
   * taken the effect meanwhile; then nothing was written.
   */
  commit<T>(work: (writer: Writer) => Promise<T>): Promise<T>;
}

/** A listener with side effects. Each change that it wants has a row in the effect ledger, for as long as it takes. */
export interface EffectListener extends Listener {
  /**
   * The side effect of a change: called in one process, the one that made the change if it lives. When it throws it is called again after
   * a growing pause, perhaps elsewhere, and parked after `attempts`, with GiveUp at once. After a crash it may be called again under the same key. Changes of one
   * row come in order; one that has failed holds up no later one.
   */
  onPrimary?(entry: JournalEntry, effect: Effect): void | Promise<void>;
  /** Where a listener begins that is new to the database: with later changes only (`head`, the default), or at the beginning of the journal. */
  readonly start?: 'head' | 'beginning';
  /** Effects at once in one process; default 10. */
  readonly concurrency?: number;
  /** Effects per second in one process; default without limit. */
  readonly rate?: number;
  /** Attempts before an effect is parked; default 20, which takes about a day and a half. */
  readonly attempts?: number;
}

/** Thrown by a listener for what no further attempt will mend: the effect is parked at once, until somebody has it tried again. */
export class GiveUp extends Error {
  override readonly name: string = 'GiveUp';
}

/** Thrown by a listener that was asked to wait: the next attempt comes after the usual pause, and not before so many milliseconds. */
export class TryLater extends Error {
  override readonly name: string = 'TryLater';
  readonly milliseconds: number;

  constructor(message: string, milliseconds: number) {
    super(message);
    this.milliseconds = milliseconds;
  }
}

/** Which effect. */
export interface EffectId {
  readonly listener: string;
  readonly tid: number;
  readonly resource: string;
  readonly id: string;
}

/** An effect that this process has taken, and under which number. */
export interface Taken extends EffectId {
  readonly fence: number;
  readonly attempts: number;
  /** The lease under which it was taken. */
  readonly holder: string;
}

/** What a listener with effects may be called: its name ends each key. */
export const LISTENER_NAME = /^[\w.-]{1,200}$/;

/** The effect of a key; undefined for what is none. */
export function parseEffectKey(key: string): EffectId | undefined {
  const [, tid, resource, id, listener] = /^(\d{1,15}):([^:]+):(.*):([\w.-]+)$/s.exec(key) ?? [];
  if (resource === undefined || id === undefined || listener === undefined) return undefined;
  return { tid: Number(tid), resource, id, listener };
}

/** The idempotency key of an effect. */
export function effectKey({ tid, resource, id, listener }: EffectId): string {
  return `${tid}:${resource}:${id}:${listener}`;
}

const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 4 * 3_600_000;

/**
 * Milliseconds until the next attempt: doubling from a second to four hours, and spread by a quarter to either side; not less than was asked
 * for, up to those four hours.
 */
export function pauseAfter(attempts: number, asked = 0, random: () => number = Math.random): number {
  const usual = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(attempts - 1, 30)) * (0.75 + random() / 2);
  return Math.max(usual, Math.min(LONGEST_PAUSE, asked));
}
