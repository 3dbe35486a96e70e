import { type Answer, type DatabaseError, isUnreachable, type PipelineSource } from '#libs/database';
import type { Statement } from './flush-statement.ts';
import type { KeyPart, Row } from './resource.ts';

/** A flush that changes one row, as it waits for a place in a database transaction. */
export interface LoneFlush {
  readonly statement: Statement;
  /** The name it bears in its actor, and so in what the database says of it. */
  readonly flush: string;
  readonly table: string;
  readonly key: readonly KeyPart[];
}

interface Waiting extends LoneFlush {
  resolve(answer: Answer<Row> | 'alone'): void;
  reject(error: unknown): void;
}

/** Database transactions at once, and flushes in one of them. */
const LANES = 2;
const BATCH = 32;
/** lock_not_available: a pipeline does not wait for a row for long. */
const ROW_IS_HELD = '55P03';

/**
 * Puts lone flushes of concurrent ModelTransactions into one database transaction, sent as one pipeline: they share the commit and the round
 * trip, and keep their statement, actor, tid, txn and outcome. One that has a lane to itself goes as it is, so nobody waits for company.
 *
 * Each changes a single row, and a batch changes them in key order: two-row flushes of 40 hot rows died of deadlock in 45 % of the
 * batches, single-row ones in none. A batch that fails leaves nothing; the one at fault is then to be run alone.
 */
export class Coalescer {
  readonly #source: PipelineSource;
  #queue: Waiting[] = [];
  #running = 0;
  #soon = false;

  constructor(source: PipelineSource) {
    this.#source = source;
  }

  /** The answer of the flush, committed; 'alone' when it made its batch fail, or nobody knows who did. Rejects where the outcome is unknown. */
  run(flush: LoneFlush): Promise<Answer<Row> | 'alone'> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...flush, resolve, reject });
      this.#pumpSoon();
    });
  }

  /** At the end of this turn: the callers of a batch that has just ended come back together. */
  #pumpSoon(): void {
    if (this.#soon) return;
    this.#soon = true;
    setImmediate(() => {
      this.#soon = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#running < LANES && this.#queue.length > 0) {
      const fair = Math.ceil(this.#queue.length / (LANES - this.#running));
      this.#running++;
      const batch = this.#take(Math.min(BATCH, fair));
      void this.#send(batch).finally(() => {
        this.#running--;
        this.#pumpSoon();
      });
    }
  }

  /** The first that wait, each row once: a second change of a row waits for the next batch. */
  #take(most: number): Waiting[] {
    const batch: Waiting[] = [];
    const rows = new Set<string>();
    this.#queue = this.#queue.filter((waiting) => {
      const row = `${waiting.table} ${waiting.key.join(' ')}`;
      if (batch.length === most || rows.has(row)) return true;
      rows.add(row);
      batch.push(waiting);
      return false;
    });
    return batch.sort(inKeyOrder);
  }

  async #send(batch: Waiting[]): Promise<void> {
    try {
      const statements = batch.map(({ statement, flush }) => ({ ...statement, flush }));
      const answers = await this.#source.pipeline(statements);
      if ('undone' in answers) this.#undone(batch, answers.undone);
      else for (const [n, waiting] of batch.entries()) waiting.resolve(answers[n] as Answer<Row>);
    } catch (error) {
      // Alone, a statement speaks for itself, unless its row is held by somebody: then it may wait where nobody waits behind it.
      // Of a broken connection nobody knows what was committed.
      const told = isUnreachable(error) || (batch.length === 1 && (error as DatabaseError).code !== ROW_IS_HELD);
      for (const waiting of batch) told ? waiting.reject(error) : waiting.resolve('alone');
    }
  }

  /** Whoever was at fault goes alone, the others once more together; nobody knows who made a commit fail. */
  #undone(batch: readonly Waiting[], culprit: number): void {
    for (const [n, waiting] of batch.entries()) {
      if (culprit < 0 || n === culprit) waiting.resolve('alone');
      else this.#queue.push(waiting);
    }
    this.#pumpSoon();
  }
}

function inKeyOrder(a: LoneFlush, b: LoneFlush): number {
  if (a.table !== b.table) return a.table < b.table ? -1 : 1;
  for (const [n, left] of a.key.entries()) {
    const right = b.key[n] as KeyPart;
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}
