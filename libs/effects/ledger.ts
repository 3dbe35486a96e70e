import { hostname } from 'node:os';
import { type ConnectionSource, KernelError } from '#libs/database';
import { Alarm, type Dispatcher, type Log, wholeTid } from '#libs/dispatch';
import { frontier, type Writer } from '#libs/journal';
import { type EffectListener, LISTENER_NAME } from './effect.ts';
import { addListeners, dueListeners, giveBack, pruneEffects } from './effects.queries.ts';
import type { ListenerSource } from './listener-source.ts';
import { Pruner } from './pruner.ts';
import { Reporter } from './reporter.ts';
import { type EffectListenerStatus, Runner, warnOfLedger } from './runner.ts';
import { sweep } from './sweeper.ts';

export interface EffectLedgerOptions {
  readonly database: ConnectionSource;
  readonly dispatcher: Dispatcher;
  readonly origin: string;
  readonly name: string;
  readonly log: Log;
  /** Days for which finished effects are kept; default 7. */
  readonly keepDays?: number;
  /** Kernel.atomic. */
  atomic<T>(work: (writer: Writer) => Promise<T>): Promise<T>;
}

const LOOK_EVERY = 1_000;
// A position may be set back by an operator, while nothing new comes.
const SWEEP_EVERY = 2_000;
const FINISH_WITHIN = 5_000;

/**
 * Runs the side effects of changes, each once, whatever becomes of processes. The process that made a change takes its effects as soon as
 * the tail delivers it. Beside that each process enters what nobody has entered (sweep), and takes what is due: failed attempts, changes
 * without an origin, and what a dead process has left.
 */
export class EffectLedger {
  readonly #options: EffectLedgerOptions;
  readonly #runners = new Map<string, Runner>();
  /** Of the listeners that come and go, those that are here. */
  readonly #guests = new Set<string>();
  readonly #reporter: Reporter;
  readonly #pruner: Pruner;
  readonly #by: string;
  readonly #look = new Alarm();
  #source: ListenerSource | undefined;
  /** Under which the positions of the listeners were last known to be there. */
  #lease: string | undefined;
  #loop: Promise<void> | undefined;
  readonly #leaving = new Set<Promise<void>>();
  #swept = -1;
  #nextSweep = 0;
  #state: 'new' | 'started' | 'stopped' = 'new';
  #looking: Promise<unknown> = Promise.resolve();

  constructor(options: EffectLedgerOptions) {
    this.#options = { ...options, origin: options.origin.toLowerCase() };
    this.#reporter = new Reporter(options.database, options.log);
    const { database, log, keepDays = 7 } = options;
    this.#pruner = new Pruner({ what: 'old effects', prune: (limit) => pruneEffects(database, keepDays, limit), log });
    this.#by = `${options.name} on ${hostname()} (${process.pid})`;
  }

  /** Adds a listener's `onPrimary`; before start. KernelError `configuration` when another one has its name. */
  listen(listener: EffectListener): void {
    this.#refuseWhenStarted();
    if (!listener.onPrimary) return;
    if (!LISTENER_NAME.test(listener.name)) {
      const rule = 'letters, digits, dots, dashes and underscores, at most 200';
      throw new KernelError('configuration', `a listener cannot be called ${JSON.stringify(listener.name)}: ${rule}`);
    }
    if (this.#runners.has(listener.name)) {
      throw new KernelError('configuration', `two listeners with effects are called ${listener.name}`);
    }
    this.#add(listener);
  }

  /** Follows listeners that come and go; before start, one source at most. */
  follow(source: ListenerSource): void {
    this.#refuseWhenStarted();
    if (this.#source) throw new KernelError('configuration', 'the effect ledger follows another source already');
    this.#source = source;
  }

  /** Begins, once the dispatcher has started. A listener that the database does not know yet begins where it says. */
  async start(): Promise<void> {
    this.#state = 'started';
    if (this.#runners.size === 0 && !this.#source) return;
    const { safe } = await frontier(this.#options.database);
    const positions = [...this.#runners.values()].map(({ listener: { name, start } }) => ({
      name,
      tid: start === 'beginning' ? 0 : safe,
    }));
    await addListeners(this.#options.database, positions);
    await this.#source?.place();
    this.#lease = this.#options.dispatcher.lease;
    this.#reporter.start();
    for (const runner of this.#runners.values()) runner.start();
    this.refresh();
    this.#pruner.start();
    this.#loop = this.#lookAround();
  }

  /** Takes in the listeners that have come, and lets go of those that are gone. Done at each look, too. */
  refresh(): void {
    const source = this.#source;
    if (!source || !this.#runs || source.position < 0) return;
    const there = new Set(source.listeners.map(({ name }) => name));
    for (const name of this.#guests) if (!there.has(name)) this.#letGo(name);
    for (const listener of source.listeners) {
      if (this.#runners.has(listener.name)) continue;
      this.#guests.add(listener.name);
      this.#add(listener).start();
      this.#nextSweep = 0;
    }
  }

  /** Takes nothing more, lets what runs come to its end for some seconds, and leaves the rest to the others. */
  async stop(): Promise<void> {
    if (this.#state !== 'started' || !this.#loop) return;
    this.#state = 'stopped';
    this.#look.ring();
    const runners = [...this.#runners.values()];
    const loops = [this.#loop, this.#pruner.stop()];
    await Promise.all([...runners.map((runner) => runner.stop(FINISH_WITHIN)), ...loops, ...this.#leaving]);
    const left = runners.flatMap(({ waiting }) => waiting);
    await this.#reporter.stop();
    if (left.length > 0) await giveBack(this.#options.database, left).catch(() => undefined);
  }

  /** Looks around at once, and names the listeners that this process is not done with up to a tid. What has failed and waits counts as done. */
  async busy(tid: number): Promise<string[]> {
    if (!this.#loop || !this.#runs) return [];
    const more = await this.lookOnce();
    const open = more || this.#swept < tid || this.#reporter.waiting > 0;
    return [...this.#runners].flatMap(([name, runner]) => (!open && runner.idleAt(tid) ? [] : [name]));
  }

  /** The listeners whose effects run here. */
  get names(): string[] {
    return [...this.#runners.keys()];
  }

  status(): EffectListenerStatus[] {
    return [...this.#runners.values()].map(({ status }) => status);
  }

  #add(listener: EffectListener): Runner {
    const runner = new Runner(listener, { ...this.#options, reporter: this.#reporter, by: this.#by });
    this.#runners.set(listener.name, runner);
    return runner;
  }

  /** What it has taken and not begun was given up with whatever it belonged to. */
  #letGo(name: string): void {
    const runner = this.#runners.get(name) as Runner;
    this.#guests.delete(name);
    this.#runners.delete(name);
    const leaving: Promise<void> = runner.stop(FINISH_WITHIN).then(() => {
      this.#leaving.delete(leaving);
    });
    this.#leaving.add(leaving);
  }

  /** Everything that is not this process's own, or was not done at the first attempt. */
  async #lookAround(): Promise<void> {
    for (let failures = 0; this.#runs; ) {
      let more = false;
      try {
        more = await this.lookOnce();
        failures = 0;
      } catch (error) {
        if (failures === 0 && this.#runs) warnOfLedger(this.#options.log, error);
        failures += 1;
      }
      if (!more) await this.#look.wait(LOOK_EVERY * (0.75 + Math.random() / 2));
    }
  }

  /**
   * One look: sweeps, and takes what is due. Returns whether there is more to do at once. Looks of one process run one after the
   * other: a second one would find the positions locked by the first, and take that for being swept.
   */
  lookOnce(): Promise<boolean> {
    const look = this.#looking.then(() => this.#lookNow());
    this.#looking = look.catch(() => undefined);
    return look;
  }

  async #lookNow(): Promise<boolean> {
    const { database, dispatcher } = this.#options;
    const { lease } = dispatcher;
    if (lease === undefined) return false;
    this.refresh();
    const { listeners, upto } = this.#sweepable(wholeTid(dispatcher.position));
    await this.#comeBack(lease, upto);
    let more = false;
    // without a listener there is nothing to sweep for, and the database is left alone
    if (listeners.size > 0 && (upto > this.#swept || performance.now() > this.#nextSweep)) {
      this.#nextSweep = performance.now() + SWEEP_EVERY;
      const reached = await sweep(database, listeners, upto);
      this.#swept = reached;
      more = reached < upto;
    }
    for (const runner of await this.#due()) more = (await runner.takeDue(lease)) || more;
    return more;
  }

  /** What comes and goes is judged by what it is after the changes that are swept: not before that is known. */
  #sweepable(upto: number): { listeners: ReadonlyMap<string, EffectListener>; upto: number } {
    const known = this.#source?.position ?? upto;
    const swept = [...this.#runners.values()].filter(({ listener }) => known >= 0 || !this.#guests.has(listener.name));
    const listeners = new Map(swept.map(({ listener }) => [listener.name, listener]));
    return { listeners, upto: known >= 0 ? Math.min(upto, known) : upto };
  }

  /** After its lease has run out this process was taken for dead, and its listeners may have been removed: they go on where it was. */
  async #comeBack(lease: string, upto: number): Promise<void> {
    if (lease === this.#lease) return;
    const tid = Math.max(this.#swept, 0) || upto;
    const own = this.names.filter((name) => !this.#guests.has(name));
    await addListeners(
      this.#options.database,
      own.map((name) => ({ name, tid })),
    );
    await this.#source?.place();
    this.#lease = lease;
  }

  async #due(): Promise<Runner[]> {
    const open = [...this.#runners].flatMap(([name, { room }]) => (room > 0 ? [name] : []));
    if (open.length === 0) return [];
    const due = await dueListeners(this.#options.database, open, this.#options.origin);
    return due.flatMap((name) => this.#runners.get(name) ?? []);
  }

  #refuseWhenStarted(): void {
    if (this.#state !== 'new') throw new KernelError('configuration', 'the effect ledger is started already');
  }

  get #runs(): boolean {
    return this.#state === 'started';
  }
}
