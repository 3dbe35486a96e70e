import type { Kysely } from 'kysely';
import type { Queryable } from '#libs/database';
import type { Actor } from './actor.ts';
import type { Committed } from './flush-statement.ts';
import type { ModelTransaction } from './model-transaction.ts';

/** What a transaction has done: what its commit has journaled, and what the work returned. */
export interface Transacted<T> extends Committed {
  readonly result: T;
}

/**
 * What a command works on: a kernel, whose transactions commit one by one, or an open transaction of it (Kernel.atomic), in which they
 * commit together. There a failed statement ends the whole: a command does not catch it and go on, it looks first or says ON CONFLICT.
 */
// biome-ignore lint/suspicious/noExplicitAny: the tables of the host are not known to a command's library
export interface Writer<DB = any> {
  /** Whether it is an open transaction. */
  readonly open: boolean;
  /** For reading; in an open transaction it sees what that has changed. */
  readonly database: Queryable;
  readonly db: Kysely<DB>;
  /** Runs work as one unit and commits it. When the work or the commit throws, nothing has changed. */
  transaction<T>(actor: Actor, work: (tx: ModelTransaction<DB>) => T | Promise<T>): Promise<Transacted<T>>;
}
