import { type Kysely, type RawBuilder, sql } from 'kysely';

/** A table of this session for the pieces of one large page, and time enough to put them together. Needs an open transaction. */
export async function preparePieces<DB>(tx: Kysely<DB>): Promise<void> {
  await sql`CREATE TEMP TABLE IF NOT EXISTS import_piece (position integer, bytes bytea) ON COMMIT DELETE ROWS`.execute(
    tx,
  );
  await sql`DELETE FROM import_piece`.execute(tx);
  await sql`SET LOCAL statement_timeout = 0`.execute(tx);
}

export async function insertPiece<DB>(tx: Kysely<DB>, position: number, bytes: Buffer): Promise<void> {
  await sql`INSERT INTO import_piece VALUES (${position}, ${bytes})`.execute(tx);
}

/** The pieces as one value. */
export const joinedBytes: RawBuilder<Buffer> = sql`(SELECT string_agg(bytes, ''::bytea ORDER BY position) FROM import_piece)`;
export const joinedText: RawBuilder<string> = sql`convert_from(${joinedBytes}, 'UTF8')`;
