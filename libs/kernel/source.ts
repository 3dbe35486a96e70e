import { type ConnectionOptions, Database, type HostPool, KernelError } from '#libs/database';
import type { Log } from '#libs/dispatch';

/** Where a kernel's database is: one of the three. */
export type DatabaseSource<DB> =
  | {
      /** A pool of the program itself. Its connections do all the work, as the program has set them up; it is not ended here. */
      readonly pool: HostPool;
      readonly connection?: never;
      readonly database?: never;
    }
  | {
      /** `postgres://…`, or host, user and so on as pg takes them: connections of Tidemark's own. */
      readonly connection: string | ConnectionOptions;
      readonly pool?: never;
      readonly database?: never;
    }
  | {
      /** A Database that somebody else closes. */
      readonly database: Database<DB>;
      readonly pool?: never;
      readonly connection?: never;
    };

/** The database that is meant, and whether it is opened here. Connects at the first statement. KernelError `configuration` unless one is given. */
export function openSource<DB>(
  source: DatabaseSource<DB>,
  { name, log }: { name: string; log: Log },
): { database: Database<DB>; opened: boolean } {
  const { pool, connection, database } = source;
  const given = Object.entries({ pool, connection, database }).filter(([, value]) => value !== undefined);
  if (given.length !== 1) {
    const found = given.length === 0 ? 'none' : given.map(([option]) => option).join(' and ');
    throw new KernelError('configuration', `a kernel needs one of pool, connection and database, not ${found}`);
  }
  if (database) return { database, opened: false };
  if (pool) return { database: Database.over<DB>(pool, { applicationName: name }), opened: true };
  const onError = (error: Error) => log.warn({ err: error }, 'a database connection broke while nobody used it');
  const max = typeof connection === 'object' ? connection.max : undefined;
  return {
    database: Database.open<DB>({
      ...{ url: connection, applicationName: name, onError },
      ...(max === undefined ? {} : { poolSize: max }),
    }),
    opened: true,
  };
}
