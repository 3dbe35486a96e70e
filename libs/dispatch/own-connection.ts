import type { Answer, ListenClient, Queryable } from '#libs/database';

const ANSWER_WITHIN = 40_000;
/**
 * Planning a read over all partitions takes ten times as long as reading a few entries, and a plan for just these values looks cheaper. The one
 * that is kept must not scan a partition that was empty when it was made: it grows, and nothing replans before it is analyzed.
 */
const PLAN_ONCE = 'SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off';

/** One connection outside the pool, so that no user of the pool delays the tail. Opened at the first statement, and anew after it broke. */
export class OwnConnection implements Queryable {
  readonly #connect: () => Promise<ListenClient>;
  #client: Promise<ListenClient> | undefined;

  constructor(connect: () => Promise<ListenClient>) {
    this.#connect = connect;
  }

  async query<R = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
    name?: string,
  ): Promise<Answer<R>> {
    this.#client ??= this.#open();
    const opened = this.#client;
    try {
      const config = { text, values: [...values], query_timeout: ANSWER_WITHIN, ...(name && { name }) };
      const { rows, rowCount } = await (await opened).query(config);
      return { rows: rows as R[], rowCount: rowCount ?? 0, notices: [] };
    } catch (error) {
      // whatever went wrong, the next statement gets a connection without a history
      if (this.#client === opened) this.close();
      throw error;
    }
  }

  async #open(): Promise<ListenClient> {
    const client = await this.#connect();
    try {
      await client.query({ text: PLAN_ONCE, query_timeout: ANSWER_WITHIN } as { text: string });
      return client;
    } catch (error) {
      client.end().catch(() => undefined);
      throw error;
    }
  }

  close(): void {
    // a connection that was lost does not end a second time, and one that hangs never does
    this.#client?.then((client) => client.end()).catch(() => undefined);
    this.#client = undefined;
  }
}
