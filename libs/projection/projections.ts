import { type Connection, KernelError } from '#libs/database';
import { Follower, type FollowerOptions, type FollowerStatus } from './follower.ts';
import { InlineProjections } from './inline.ts';
import { isInline, type Projection } from './projection.ts';
import { type RebuildSource, rebuild } from './rebuild.ts';

const WAIT_FOR = 5_000;

export type ProjectionsOptions = Omit<FollowerOptions, 'rebuild' | 'database'> & { readonly database: RebuildSource };

/** The projections that a process keeps current, together with all others that know them. */
export class Projections {
  readonly #options: ProjectionsOptions;
  readonly #followers = new Map<string, Follower>();
  readonly #inline = new InlineProjections();
  readonly #leaving = new AbortController();
  #started = false;

  constructor(options: ProjectionsOptions) {
    this.#options = options;
  }

  /** Adds a projection; before start. KernelError `configuration` when another one has its name. */
  add(projection: Projection): void {
    if (this.#started) throw new KernelError('configuration', 'the projections are started already');
    if (this.#followers.has(projection.name)) {
      throw new KernelError('configuration', `two projections are called ${projection.name}`);
    }
    if (isInline(projection)) this.#inline.add(projection);
    const outdated = (one: Projection) => this.#rebuild(one);
    this.#followers.set(projection.name, new Follower(projection, { ...this.#options, rebuild: outdated }));
  }

  get all(): readonly Projection[] {
    return [...this.#followers.values()].map(({ projection }) => projection);
  }

  /** The projection of a name. KernelError `not_found` when there is none. */
  get(name: string): Projection {
    return this.#follower(name).projection;
  }

  /** Computes the inline ones, where there are any: to be called before a transaction that has changed something commits. */
  get beforeCommit(): ((tx: Connection) => Promise<void>) | undefined {
    return this.#inline.any ? (tx) => this.#inline.compute(tx) : undefined;
  }

  /** Checks that the inline ones can be computed: each change will depend on it. KernelError `configuration` says what is not. */
  async check(): Promise<void> {
    await this.#inline.check(this.#options.database);
  }

  /** Begins, once the dispatcher has started. */
  start(): void {
    this.#started = true;
    for (const follower of this.#followers.values()) follower.start();
  }

  /** Finishes the batches that it is in. */
  async stop(): Promise<void> {
    this.#leaving.abort();
    if (this.#started) await Promise.all([...this.#followers.values()].map((follower) => follower.stop()));
  }

  /**
   * Waits until projections, or all, reflect every change up to a tid, which this process's tail must have passed. KernelError
   * `not_caught_up` when it takes longer than the time-out, in milliseconds (5 s unless given).
   */
  async waitFor(
    tid: number,
    { names, timeout = WAIT_FOR }: { names?: readonly string[]; timeout?: number } = {},
  ): Promise<void> {
    const followers = (names ?? [...this.#followers.keys()]).map((name) => this.#follower(name));
    const met = await Promise.all(followers.map((follower) => follower.waitFor(tid, timeout)));
    const late = followers.filter((_, n) => !met[n]).map(({ projection }) => projection.name);
    if (late.length === 0) return;
    throw new KernelError(
      'not_caught_up',
      `${late.join(', ')} did not reflect tid ${tid} within ${Math.round(timeout)} ms`,
    );
  }

  status(): FollowerStatus[] {
    return [...this.#followers.values()].map(({ status }) => status);
  }

  #follower(name: string): Follower {
    const follower = this.#followers.get(name);
    if (!follower) throw new KernelError('not_found', `no projection is called ${name}`);
    return follower;
  }

  async #rebuild(projection: Projection): Promise<void> {
    const { database, log } = this.#options;
    log.info({ projection: projection.name, version: projection.version }, 'an older version is rebuilt');
    try {
      await rebuild(database, projection, { signal: this.#leaving.signal });
    } catch (error) {
      const elsewhere = error instanceof KernelError && error.code === 'conflict';
      if (!elsewhere && !this.#leaving.signal.aborted) throw error;
    }
  }
}
