import type { Queryable } from '#libs/database';

export interface PoolerFacts {
  /** Differs for any two databases, copies included. */
  readonly place: string;
  readonly role: string;
  /** Of the time-outs that the program asks for on direct connections, those that are off. */
  readonly missing_timeouts: string[];
}

/** Where a connection leads to, and how it is set up. */
export async function selectPoolerFacts(db: Queryable): Promise<PoolerFacts> {
  const { rows } = await db.query<PoolerFacts>(
    `SELECT concat_ws(' ', d.oid, pg_postmaster_start_time()) AS place, current_user::text AS role,
         ARRAY(SELECT name FROM pg_settings
           WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout') AND setting = '0' ORDER BY name DESC) AS missing_timeouts
       FROM pg_database d WHERE d.datname = current_database()`,
  );
  return rows[0] as PoolerFacts;
}
