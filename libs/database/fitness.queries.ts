import type { Queryable } from './connection.ts';

/** What decides whether a server can hold a Tidemark database. */
export interface ServerFacts {
  /** The major version. */
  readonly version: number;
  readonly shown: string;
  readonly encoding: string;
  readonly name: string;
  readonly standby: boolean;
  /** In milliseconds. */
  readonly statement_timeout: number;
}

export async function selectServer(db: Queryable): Promise<ServerFacts> {
  const { rows } = await db.query<ServerFacts>(
    `SELECT current_setting('server_version_num')::int / 10000 AS version, current_setting('server_version') AS shown,
       current_setting('server_encoding') AS encoding, current_database() AS name, pg_is_in_recovery() AS standby,
       (SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout') AS statement_timeout`,
  );
  return rows[0] as ServerFacts;
}
