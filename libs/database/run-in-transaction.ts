import type { Connection, ConnectionSource } from './connection.ts';

/** Everything is read as it was at the first statement, and nothing written. */
export const SNAPSHOT = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY';

/** Runs work in a transaction of its own; when it throws, nothing has changed. */
export async function runInTransaction<T>(
  database: ConnectionSource,
  work: (tx: Connection) => Promise<T>,
  begin = 'BEGIN',
): Promise<T> {
  const connection = await database.connect();
  try {
    await connection.query(begin);
    const result = await work(connection);
    await connection.query('COMMIT');
    connection.release();
    return result;
  } catch (error) {
    await undo(connection);
    throw error;
  }
}

/** Undoes the transaction of a connection and gives it back; one that cannot be undone is closed. */
export async function undo(connection: Connection): Promise<void> {
  connection.end();
  try {
    await connection.query('ROLLBACK');
    connection.release();
  } catch (error) {
    connection.release(error as Error);
  }
}
