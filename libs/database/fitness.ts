import { Database } from './database.ts';
import { KernelError, translate } from './errors.ts';

const OLDEST = 15;

/** Whether a server can hold a Tidemark database: reachable, PostgreSQL 15 or newer, UTF-8. KernelError `configuration` or `unavailable`. */
export async function checkFitness(url: string): Promise<void> {
  const database = Database.open({ url, poolSize: 1 });
  try {
    const { rows } = await database.query<{ version: number; shown: string; encoding: string; name: string }>(
      `SELECT current_setting('server_version_num')::int / 10000 AS version, current_setting('server_version') AS shown,
         current_setting('server_encoding') AS encoding, current_database() AS name`,
    );
    const { version, shown, encoding, name } = rows[0] as (typeof rows)[number];
    if (version < OLDEST)
      throw new KernelError(
        'configuration',
        `PostgreSQL ${shown} is too old: Tidemark needs ${OLDEST} or newer`,
      );
    if (encoding !== 'UTF8') {
      throw new KernelError(
        'configuration',
        `the database "${name}" is encoded in ${encoding}: create one with ENCODING 'UTF8'`,
      );
    }
  } catch (error) {
    throw refusal(error);
  } finally {
    await database.close();
  }
}

/** What a connection attempt is refused with, in words. */
function refusal(error: unknown): unknown {
  const code = String((error as { code?: string }).code);
  if (['28P01', '28000', '3D000', '42501'].includes(code)) {
    return new KernelError(
      'configuration',
      `the database refuses the connection: ${(error as Error).message}`,
      { cause: error },
    );
  }
  return translate(error);
}
