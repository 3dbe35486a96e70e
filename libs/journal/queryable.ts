import { CompiledQuery } from 'kysely';
import type { Answer, Queryable } from '#libs/database';
import type { ModelTransaction } from './model-transaction.ts';

/** Statements inside a transaction: they see what it has flushed, and what they change is journaled as its actor's. */
export function queryable(tx: Pick<ModelTransaction, 'read'>): Queryable {
  return {
    async query<R>(text: string, values: readonly unknown[] = []): Promise<Answer<R>> {
      const { rows } = await tx.read.executeQuery<R>(CompiledQuery.raw(text, [...values]));
      return { rows, rowCount: rows.length, notices: [] };
    },
  };
}
