import { KernelError } from '#libs/database';
import { type Dispatcher, type Log, reason } from '#libs/dispatch';
import type { Actor, Writer } from '#libs/journal';
import { type Cause, causeOf, LONGEST_CHAIN } from './cause.ts';
import { type Effect, type EffectListener, effectKey, GiveUp, type Taken, TryLater } from './effect.ts';
import { finish } from './effects.queries.ts';
import type { Task } from './lane.ts';
import type { Reporter } from './reporter.ts';

const ATTEMPTS = 20;

export interface AttemptOptions {
  readonly dispatcher: Pick<Dispatcher, 'lease'>;
  readonly reporter: Reporter;
  readonly log: Log;
  /** Told of what an attempt has failed of. */
  failed(error: string): void;
  /** Kernel.atomic. */
  atomic<T>(work: (writer: Writer) => Promise<T>): Promise<T>;
}

/** What became of an attempt: `dropped` before it began, because its lease had ended. */
export type Outcome = 'done' | 'failed' | 'dropped';

/** Calls a listener for one change, once, and reports how it ended. Never throws. */
export async function attempt(
  listener: EffectListener,
  { taken, entry }: Task,
  options: AttemptOptions,
): Promise<Outcome> {
  const { reporter, log } = options;
  const depth = (causeOf(entry)?.depth ?? 0) + 1;
  // Whoever was stopped for longer than its lease must begin nothing: another process may have begun it.
  if (options.dispatcher.lease !== taken.holder) return 'dropped';
  try {
    if (depth > LONGEST_CHAIN) throw new Looping(depth, taken.listener);
    const effect = new RunningEffect(taken, depth, options);
    await listener.onPrimary?.(entry, effect);
    if (!effect.committed) reporter.done(taken);
    return 'done';
  } catch (error) {
    options.failed(reason(error));
    const attempts = error instanceof GiveUp ? 0 : (listener.attempts ?? ATTEMPTS);
    reporter.failed(taken, reason(error), attempts, error instanceof TryLater ? error.milliseconds : 0);
    log.warn({ err: error, effect: effectKey(taken), attempt: taken.attempts }, 'an effect has failed');
    return 'failed';
  }
}

class RunningEffect implements Effect {
  readonly key: string;
  readonly attempt: number;
  committed = false;
  readonly #taken: Taken;
  readonly #depth: number;
  readonly #options: AttemptOptions;

  constructor(taken: Taken, depth: number, options: AttemptOptions) {
    this.key = effectKey(taken);
    this.attempt = taken.attempts;
    this.#taken = taken;
    this.#depth = depth;
    this.#options = options;
  }

  actor(actor: Actor): Actor {
    const { tid, listener } = this.#taken;
    const cause: Cause = { tid, listener, depth: this.#depth };
    return { ...actor, meta: { ...actor.meta, cause } };
  }

  async commit<T>(work: (writer: Writer) => Promise<T>): Promise<T> {
    const result = await this.#options.atomic(async (writer) => {
      const made = await work({
        ...{ open: writer.open, database: writer.database, db: writer.db },
        transaction: (actor, change) => writer.transaction(this.actor(actor), change),
      });
      if ((await finish(writer.database, [this.#taken])) === 1) return made;
      throw new KernelError('conflict', `${this.key} was taken by another process`);
    });
    this.committed = true;
    return result;
  }
}

class Looping extends GiveUp {
  constructor(depth: number, listener: string) {
    super(
      `this change is the ${depth - 1}th in a chain in which each was made by an effect of the one before: ${listener} is not called, as it seems to be a loop`,
    );
  }
}
