import { isUnreachable, type Queryable } from '#libs/database';
import { Alarm, backoff, type Log, reason } from '#libs/dispatch';
import type { Actor, Writer } from '#libs/journal';
import { type Check, findingKey, type Looked } from './check.ts';
import { selectOpen } from './findings.queries.ts';
import { lookAgain, record, resolveOthers } from './findings.ts';
import {
  beginFull,
  finishFull,
  holdSchedule,
  movePosition,
  type Run,
  selectPositions,
  setDue,
} from './schedule.queries.ts';

/** How long a process that finds another one at work lets it be. */
const LOOK_EVERY = 1_000;
/** Rows that are looked at at once: a thousand of them keep a processor from everybody else for a tenth of a second. */
const PAGE = 200;
/** What the last page of a check costs of the budget at least, however few rows there are: small databases are not looked at without a pause. */
const LAST_PAGE = 1_000;
const MOST_OPEN = 1_000;
const LOOK_AGAIN = 100;
/** The transaction that holds the schedule says nothing while a check takes long: the database would end it after a minute. */
const KEEP_ALIVE = 10_000;

export interface ScheduleOptions {
  readonly database: Queryable;
  atomic<T>(work: (writer: Writer) => Promise<T>): Promise<T>;
  checks(): Promise<Check[]>;
  readonly log: Log;
  /** At most so many by all processes together. */
  readonly rowsPerSecond: number;
  readonly actor: Actor;
}

/** What this process has done for a check. */
export interface CheckStatus {
  readonly check: string;
  readonly looks: number;
  readonly rows: number;
  readonly failed: number;
}

interface Turn {
  readonly run: Run;
  readonly check: Check;
  readonly after: string | null;
}

/**
 * Looks at a page of one check after the other: once a day at everything, in between at whatever was not looked at for longest. One process at
 * a time does, whichever holds the stored row; page, findings and position change in one transaction, so one that dies leaves it to the
 * others at once, where it was.
 */
export class Schedule {
  readonly #options: ScheduleOptions;
  readonly #alarm = new Alarm();
  readonly #counts = new Map<string, { looks: number; rows: number; failed: number }>();
  readonly #failing = new Set<string>();
  #runs = false;
  #loop: Promise<void> | undefined;

  constructor(options: ScheduleOptions) {
    this.#options = options;
  }

  start(): void {
    this.#runs = true;
    this.#loop = this.#run();
  }

  /** Finishes the page that it is at. */
  async stop(): Promise<void> {
    this.#runs = false;
    this.#alarm.ring();
    await this.#loop;
  }

  status(): CheckStatus[] {
    return [...this.#counts].map(([check, counts]) => ({ check, ...counts }));
  }

  /** One page, if it is for this process to look at now. Returns after how many milliseconds to come back. */
  async runOnce(): Promise<number> {
    return this.#options.atomic(async (writer) => {
      const held = await holdSchedule(writer.database);
      if (held === undefined) return LOOK_EVERY;
      if (held.wait > 0) return Math.min(held.wait, LOOK_EVERY);
      const checks = await this.#options.checks();
      if (checks.length === 0) return LOOK_EVERY;
      if (held.full === 'due') await beginFull(writer.database);
      const turn = await this.#turn(writer.database, checks, held.full !== 'over');
      if (turn === undefined) return LOOK_EVERY;
      const { rows, next } = await this.#look(writer, turn);
      const pause = (Math.max(rows, next === null ? LAST_PAGE : this.#page) / this.#options.rowsPerSecond) * 1_000;
      await setDue(writer.database, pause);
      return pause;
    });
  }

  /** Not more than a second's rows. */
  get #page(): number {
    return Math.min(PAGE, this.#options.rowsPerSecond);
  }

  async #run(): Promise<void> {
    for (let failures = 0; this.#runs; ) {
      let wait: number;
      try {
        wait = await this.runOnce();
        failures = 0;
      } catch (error) {
        failures += 1;
        if (failures === 1) this.#warn(error);
        wait = backoff(failures, 1_000, 60_000);
      }
      if (this.#runs) await this.#alarm.wait(wait);
    }
  }

  async #turn(tx: Queryable, checks: readonly Check[], full: boolean): Promise<Turn | undefined> {
    if (full) {
      const positions = new Map((await selectPositions(tx, 'full')).map((row) => [nameOf(row), row]));
      const check = checks.find((one) => !positions.get(keyOf(one))?.done);
      if (check) return { run: 'full', check, after: positions.get(keyOf(check))?.place ?? null };
      await finishFull(tx);
    }
    const parts = checks.filter(({ whole }) => !whole);
    const positions = await selectPositions(tx, 'sample');
    const known = new Map(positions.map((row, n) => [nameOf(row), { n, place: row.place }]));
    const turns = parts.map((check) => ({ check, ...(known.get(keyOf(check)) ?? { n: -1, place: null }) }));
    const next = turns.sort((a, b) => a.n - b.n)[0];
    return next && { run: 'sample', check: next.check, after: next.place };
  }

  async #look(writer: Writer, { run, check, after }: Turn): Promise<Pick<Looked, 'rows' | 'next'>> {
    const counts = this.#countsOf(check);
    const position = { run, check_name: check.name, resource: check.resource };
    let looked: Looked;
    try {
      looked = await this.#find(writer, check, after);
    } catch (error) {
      // the check: whatever is wrong with it, the others are to go on
      counts.failed += 1;
      const { name, resource } = check;
      if (!this.#failing.has(keyOf(check))) {
        this.#options.log.error({ err: error, check: name, resource }, 'a check has failed');
      }
      this.#failing.add(keyOf(check));
      await movePosition(writer.database, { ...position, place: null, done: true, rows: 0, error: reason(error) });
      return { rows: 0, next: null };
    }
    this.#failing.delete(keyOf(check));
    await this.#enter(writer, check, looked);
    const { rows, next } = looked;
    await movePosition(writer.database, { ...position, place: next, done: next === null, rows, error: null });
    counts.looks += 1;
    counts.rows += rows;
    return { rows, next };
  }

  async #find(writer: Writer, check: Check, after: string | null): Promise<Looked> {
    const keepAlive = setInterval(() => void writer.database.query('SELECT 1').catch(() => undefined), KEEP_ALIVE);
    try {
      return await check.find({ after, limit: this.#page });
    } finally {
      clearInterval(keepAlive);
    }
  }

  async #enter(writer: Writer, check: Check, looked: Looked): Promise<void> {
    const { actor, log } = this.#options;
    const before = new Set((await selectOpen(writer.database, check, MOST_OPEN)).map(({ key }) => key));
    const recorded = await record(writer, actor, check, looked.found);
    const fresh = recorded.filter(({ found, state }) => state === 'open' && !before.has(findingKey(check, found)));
    if (fresh.length > 0) {
      const { name, resource } = check;
      log.warn({ check: name, resource, findings: fresh.length }, 'a check has found what should not be');
    }
    if (!check.whole) await lookAgain({ writer, database: writer.database }, actor, check, LOOK_AGAIN);
    else if (looked.skipped === undefined && !looked.cut) {
      const open = await selectOpen(writer.database, check, Number.MAX_SAFE_INTEGER);
      await resolveOthers(writer, actor, check, open, looked.found);
    }
  }

  #countsOf({ name }: Check): { looks: number; rows: number; failed: number } {
    const counts = this.#counts.get(name) ?? { looks: 0, rows: 0, failed: 0 };
    this.#counts.set(name, counts);
    return counts;
  }

  #warn(error: unknown): void {
    const message = isUnreachable(error)
      ? 'the schedule of checks cannot be reached'
      : 'the schedule of checks has failed';
    this.#options.log.warn({ err: error }, message);
  }
}

function nameOf({ check_name, resource }: { check_name: string; resource: string }): string {
  return `${check_name} ${resource}`;
}

function keyOf({ name, resource }: Check): string {
  return `${name} ${resource}`;
}
