import { CompiledQuery } from 'kysely';
import type { Answer, Queryable } from '#libs/database';
import type { Actor, Writer } from '#libs/journal';

/** Runs statements in one transaction of an actor: what they change is journaled as the actor's. */
export async function asActor<T>(writer: Writer, actor: Actor, work: (tx: Queryable) => Promise<T>): Promise<T> {
  const { result } = await writer.transaction(actor, (tx) =>
    work({
      async query<R>(text: string, values: readonly unknown[] = []): Promise<Answer<R>> {
        const { rows } = await tx.read.executeQuery(CompiledQuery.raw(text, [...values]));
        return { rows: rows as R[], rowCount: rows.length, notices: [] };
      },
    }),
  );
  return result;
}
