import { type Kysely, sql } from 'kysely';

/** Sets the actor of the rest of a transaction. */
export async function setActor<DB>(tx: Kysely<DB>, setting: string): Promise<void> {
  await sql`SELECT set_config('tidemark.actor', ${setting}, true)`.execute(tx);
}
