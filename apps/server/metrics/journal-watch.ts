import { setTimeout as pause } from 'node:timers/promises';
import type { Connection, Queryable } from '#libs/database';
import { type JournalStatus, tailStatus, wholeTid } from '#libs/dispatch';
import { type ListenerRow, listListeners } from '#libs/effects';
import { countFindings } from '#libs/integrity';
import type { Kernel } from '#libs/kernel';
import { listProjections, type ProjectionRow } from '#libs/projection';
import { backlog } from './metrics.queries.ts';

export interface JournalLook extends JournalStatus {
  /** What this process's tail has still to read. */
  readonly behind: { readonly rows: number; readonly seconds: number };
  /** Listeners with effects, and how these stand. */
  readonly effects: readonly ListenerRow[];
  readonly projections: readonly ProjectionRow[];
  /** What checks have found and nobody has repaired. */
  readonly findings: Awaited<ReturnType<typeof countFindings>>;
}

const PATIENCE = 1_000;
const STATEMENT = 2_000;
const MOST_ROWS = 10_000;

/**
 * Where the journal stands as the database knows it, asked for at most every few seconds and once at a time, whoever wants to know
 * how often; nobody waits for it longer than a second.
 */
export class JournalWatch {
  readonly #kernel: Kernel;
  readonly #every: number;
  #last: JournalLook | undefined;
  #since = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;

  /** `every`: milliseconds between two looks. */
  constructor(kernel: Kernel, every: number) {
    this.#kernel = kernel;
    this.#every = every;
  }

  /** The last look; undefined while the database does not answer in time. */
  async look(): Promise<JournalLook | undefined> {
    if (!this.#asking && performance.now() - this.#since >= this.#every) {
      this.#since = performance.now();
      this.#asking = this.#ask().finally(() => {
        this.#asking = undefined;
      });
    }
    if (this.#asking) await Promise.race([this.#asking, pause(PATIENCE, undefined, { ref: false })]);
    return this.#asking ? undefined : this.#last;
  }

  async #ask(): Promise<void> {
    this.#last = undefined;
    try {
      const connection = await this.#kernel.database.connect();
      try {
        this.#last = await this.#read(impatient(connection));
        connection.release();
      } catch (error) {
        // one that hangs would do so for whoever took it next
        connection.release(error as Error);
      }
    } catch {
      // no connection is to be had: that is what the look says
    }
  }

  async #read(db: Queryable): Promise<JournalLook> {
    const { dispatcher, projections } = this.#kernel;
    const { position } = dispatcher.status();
    const status = await tailStatus(db);
    const behind = await backlog(db, wholeTid(position), MOST_ROWS);
    return {
      ...{ ...status, behind },
      effects: await listListeners(db),
      projections: await listProjections(db, projections.all),
      findings: await countFindings(db),
    };
  }
}

/** The connection, with an end to each statement also where nothing answers at all. */
function impatient({ client }: Connection): Queryable {
  return {
    async query<R>(text: string, values: readonly unknown[] = []) {
      const config = { text, values: [...values], query_timeout: STATEMENT };
      const { rows, rowCount } = await client.query(config);
      return { rows: rows as R[], rowCount: rowCount ?? 0, notices: [] };
    },
  };
}
