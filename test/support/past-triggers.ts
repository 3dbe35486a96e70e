import type { Database } from '#libs/database';

/** Where triggers are to be off: at some tables, or at all. */
export interface Bypassed {
  readonly owner: Database;
  readonly tables?: readonly string[];
}

/** Runs statements of the owner with triggers off, as a restore or a repair by hand does. */
export async function pastTriggers({ owner, tables }: Bypassed, ...statements: readonly string[]): Promise<void> {
  const connection = await owner.connect();
  try {
    await connection.query('BEGIN');
    const { rows } = await connection.query<{ table: string; trigger: string }>(
      `SELECT tgrelid::regclass::text AS table, quote_ident(tgname) AS trigger FROM pg_trigger
         WHERE ($1::regclass[] IS NULL OR tgrelid = ANY ($1)) AND tgenabled = 'A' AND NOT tgisinternal`,
      [tables ?? null],
    );
    for (const { table, trigger } of rows) await connection.query(`ALTER TABLE ${table} DISABLE TRIGGER ${trigger}`);
    for (const statement of statements) await connection.query(statement);
    for (const { table, trigger } of rows) {
      await connection.query(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${trigger}`);
    }
    await connection.query('COMMIT');
    connection.release();
  } catch (error) {
    connection.release(error as Error);
    throw error;
  }
}
