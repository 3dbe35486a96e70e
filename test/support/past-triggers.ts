import type { Database } from '#libs/database';

/** Runs statements of the owner with the triggers of tables off, as a restore or a repair by hand does. */
export async function pastTriggers(owner: Database, tables: readonly string[], statements: readonly string[]) {
  const connection = await owner.connect();
  try {
    await connection.query('BEGIN');
    const { rows } = await connection.query<{ table: string; trigger: string }>(
      `SELECT tgrelid::regclass::text AS table, quote_ident(tgname) AS trigger FROM pg_trigger
         WHERE tgrelid = ANY ($1::regclass[]) AND tgenabled = 'A' AND NOT tgisinternal`,
      [tables],
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
