import { type ConnectionSource, runInTransaction } from '#libs/database';
import { Alarm, backoff, type Dispatcher, type Log, reason, wholeTid } from '#libs/dispatch';
import { advance, type Prepared, prepare } from './advance.ts';
import { claim, enterFailure, moveCheckpoint, storedProjection } from './projection.queries.ts';
import { concerns, type Projection, unregistered } from './projection.ts';
import { RecentChanges } from './recent.ts';

const LOOK_EVERY = 1_000;
/** While somebody waits for what another process is to do. */
const LOOK_WHILE_WAITING = 5;
/** For changes of this process that nobody waits to see: one batch serves several. */
const GATHER = 50;
/** What others have changed they apply themselves, if they live. */
const LEAVE_TO_OTHERS = 100;

export interface FollowerOptions {
  readonly database: ConnectionSource;
  readonly dispatcher: Dispatcher;
  readonly origin: string;
  readonly log: Log;
  /** The database holds an older version's rows. Returns when that is no longer so, or it cannot be helped now. */
  rebuild(projection: Projection): Promise<void>;
}

/** One projection as this process sees it. */
export interface FollowerStatus {
  readonly name: string;
  readonly state: 'starting' | 'following' | 'failing' | 'outdated';
  /** The checkpoint, as it was last seen. */
  readonly tid: number;
  readonly lastError: string | null;
}

/**
 * Keeps a projection current: takes its checkpoint (FOR UPDATE SKIP LOCKED) for one batch at a time, so that any process does the work, one
 * at a time, and one that dies leaves it to the others at once.
 */
export class Follower {
  readonly projection: Projection;
  readonly #options: FollowerOptions;
  readonly #alarm = new Alarm();
  readonly #stopped = new Alarm();
  readonly #waiting = new Set<() => void>();
  #prepared: Prepared | undefined;
  #recent: RecentChanges | undefined;
  /** When the alarm is going to ring. */
  #due = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #state: FollowerStatus['state'] = 'starting';
  #tid = -1;
  /** Up to which tid the step under way applies changes. */
  #applying = -1;
  /** Whether this process has made a change that is to be applied. */
  #own = false;
  #failures = 0;
  #lastError: string | null = null;
  #runs = false;
  #loops: Promise<void>[] = [];
  #feed: { close(): void } | undefined;

  constructor(projection: Projection, options: FollowerOptions) {
    this.projection = projection;
    this.#options = options;
  }

  get status(): FollowerStatus {
    return { name: this.projection.name, state: this.#state, tid: this.#tid, lastError: this.#lastError };
  }

  start(): void {
    this.#runs = true;
    this.#loops = [this.#listen(), this.#run()];
  }

  async stop(): Promise<void> {
    this.#runs = false;
    this.#feed?.close();
    this.#alarm.ring();
    this.#stopped.ring();
    await Promise.all(this.#loops);
  }

  /** Waits until the rows reflect every change up to a tid, which the tail must have passed. False when that takes too long. */
  async waitFor(tid: number, timeout: number): Promise<boolean> {
    if (this.#tid >= tid) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), timeout);
    const look = () => {
      if (this.#tid < tid) return;
      this.#waiting.delete(look);
      resolve(true);
    };
    this.#waiting.add(look);
    if (this.#applying < tid) this.#alarm.ring();
    const met = await promise;
    clearTimeout(timer);
    this.#waiting.delete(look);
    return met;
  }

  /** Rings when there is something to do; what moves only the position waits. */
  async #listen(): Promise<void> {
    const { dispatcher, origin } = this.#options;
    const wants = (entry: Parameters<typeof concerns>[1]) => concerns(this.projection, entry);
    const after = dispatcher.position;
    const feed = dispatcher.feed({ after, wants });
    const recent = new RecentChanges(after);
    this.#feed = feed;
    this.#recent = recent;
    for (let batch = await feed.next(); batch && this.#runs; batch = await feed.next()) {
      recent.add(batch);
      const own = batch.entries.some((entry) => entry.origin === origin);
      this.#own ||= own;
      if (own && this.#waiting.size > 0) this.#alarm.ring();
      else if (batch.entries.length > 0) this.#ringWithin(own ? GATHER : LEAVE_TO_OTHERS);
    }
  }

  #ringWithin(milliseconds: number): void {
    const due = performance.now() + milliseconds;
    if (due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => {
      this.#due = Number.POSITIVE_INFINITY;
      this.#alarm.ring();
    }, milliseconds).unref();
  }

  async #run(): Promise<void> {
    while (this.#runs) {
      let more = false;
      try {
        more = await this.#step();
        this.#failures = 0;
        this.#lastError = null;
      } catch (error) {
        await this.#failed(error);
      }
      this.#applying = -1;
      for (const look of this.#waiting) look();
      if (!this.#runs) return;
      // not cut short by changes: what fails would fail for each of them
      if (this.#failures > 0) await this.#stopped.wait(backoff(this.#failures, 100, 30_000));
      else if (!more) await this.#alarm.wait(this.#waiting.size > 0 ? LOOK_WHILE_WAITING : LOOK_EVERY);
    }
  }

  /** One batch, if it is for this process to do. Returns whether there is more. */
  async #step(): Promise<boolean> {
    const upto = wholeTid(this.#options.dispatcher.position);
    const own = this.#own;
    this.#own = false;
    // changes of others were most likely applied by them: asking is less than a transaction
    if (!own && (await this.#look()) >= upto) return false;
    this.#applying = upto;
    const reached = await this.#batch(upto);
    if (reached === undefined) {
      await this.#look();
      return false;
    }
    this.#state = 'following';
    this.#seen(reached);
    return reached < upto;
  }

  /** Sees how far the checkpoint is, by whomever; further than any tid where it is not for this version to move. */
  async #look(): Promise<number> {
    const { name, version } = this.projection;
    const stored = await storedProjection(this.#options.database, name);
    if (!stored) throw unregistered(name);
    const fits = stored.version === 0 || stored.version === version;
    this.#state = fits ? 'following' : 'outdated';
    // what another version's rows reflect is not what this process waits for
    if (fits) this.#seen(stored.tid);
    else this.#tid = -1;
    if (stored.version > 0 && stored.version < version) await this.#options.rebuild(this.projection);
    return fits ? stored.tid : Number.POSITIVE_INFINITY;
  }

  #seen(tid: number): void {
    this.#tid = tid;
    this.#recent?.forget(tid);
  }

  async #batch(upto: number): Promise<number | undefined> {
    const { database, origin } = this.#options;
    const { name, version } = this.projection;
    this.#prepared ??= await prepare(database, this.projection);
    const prepared = this.#prepared;
    return runInTransaction(database, async (tx) => {
      const from = await claim(tx, name, version, upto);
      if (from === undefined) return undefined;
      const known = this.#recent?.between(from, upto);
      const reached = await advance(tx, prepared, { from, upto, into: 'live', known });
      await moveCheckpoint(tx, this.projection, { tid: reached, origin });
      return reached;
    });
  }

  async #failed(error: unknown): Promise<void> {
    const { database, log } = this.#options;
    this.#failures += 1;
    this.#state = 'failing';
    this.#lastError = reason(error);
    // the tables may have been changed
    this.#prepared = undefined;
    if (this.#failures > 1) return;
    log.error({ err: error, projection: this.projection.name }, 'a projection cannot be kept current');
    await enterFailure(database, this.projection.name, this.#lastError).catch(() => undefined);
  }
}
