import { type Kysely, sql } from 'kysely';
import type { Queryable } from '#libs/database';

/** Sets the actor of the rest of a transaction. */
export async function setActor<DB>(tx: Kysely<DB>, setting: string): Promise<void> {
  await sql`SELECT set_config('tidemark.actor', ${setting}, true)`.execute(tx);
}

/** The highest tid that a transaction has drawn; null when it has changed nothing. */
export async function drawnTid(tx: Queryable): Promise<number | null> {
  const { rows } = await tx.query<{ tid: number | null }>('SELECT tid FROM tidemark.drawn()', [], 'tidemark_drawn');
  return rows[0]?.tid ?? null;
}
