import type { Queryable } from '#libs/database';

/** A token as it may be shown: without what would let anybody use it. */
export interface Token {
  readonly id: number;
  readonly prefix: string;
  readonly user: string;
  readonly roles: string[];
  readonly created: Date;
  readonly last_used: Date | null;
  readonly expires: Date | null;
  readonly revoked: Date | null;
}

export interface TokenRow {
  readonly prefix: string;
  readonly hash: Buffer;
  readonly user: string;
  readonly roles: readonly string[];
  readonly expires: Date | null;
}

/** Inserts a token and returns its id. */
export async function insertToken(db: Queryable, token: TokenRow): Promise<number> {
  const { rows } = await db.query<{ id: number }>(
    `INSERT INTO tidemark.tokens (prefix, hash, user_name, roles, expires) VALUES ($1, $2, $3, $4, $5) RETURNING id`,
    [token.prefix, token.hash, token.user, token.roles, token.expires],
  );
  return (rows[0] as { id: number }).id;
}

/**
 * The owner of a token that is neither revoked nor expired. Notes at most once a minute that it was used, and skips even
 * that when another process is noting it: nobody waits for a lock here.
 */
export async function useToken(
  db: Queryable,
  hash: Buffer,
): Promise<{ user: string; roles: string[]; expires: Date | null } | undefined> {
  const { rows } = await db.query<{ user: string; roles: string[]; expires: Date | null }>(
    `WITH found AS (
       SELECT id, user_name, roles, expires FROM tidemark.tokens
         WHERE hash = $1 AND revoked IS NULL AND (expires IS NULL OR expires > now())
     ), stale AS (
       SELECT t.id FROM tidemark.tokens t JOIN found USING (id)
         WHERE t.last_used IS NULL OR t.last_used < now() - interval '1 minute'
         FOR NO KEY UPDATE OF t SKIP LOCKED
     ), noted AS (
       UPDATE tidemark.tokens t SET last_used = now() FROM stale WHERE t.id = stale.id
     )
     SELECT user_name AS "user", roles, expires FROM found`,
    [hash],
    'tidemark_token',
  );
  return rows[0];
}

/** Every token that was ever made, the oldest first. */
export async function selectTokens(db: Queryable): Promise<Token[]> {
  const { rows } = await db.query<Token>(
    `SELECT id, prefix, user_name AS "user", roles, created, last_used, expires, revoked FROM tidemark.tokens ORDER BY id`,
  );
  return rows;
}

/** The tokens that a person may mean by a text: the one with that id, or those with that prefix. */
export async function selectTokensNamed(db: Queryable, text: string): Promise<{ id: number; prefix: string }[]> {
  const { rows } = await db.query<{ id: number; prefix: string }>(
    `SELECT id, prefix FROM tidemark.tokens WHERE id::text = $1 OR prefix = $1 ORDER BY id`,
    [text],
  );
  return rows;
}

/** Revokes a token from now on; one that is revoked stays so since then. */
export async function updateRevoked(db: Queryable, id: number): Promise<Token> {
  const { rows } = await db.query<Token>(
    `UPDATE tidemark.tokens SET revoked = coalesce(revoked, now()) WHERE id = $1
       RETURNING id, prefix, user_name AS "user", roles, created, last_used, expires, revoked`,
    [id],
  );
  return rows[0] as Token;
}

/** Whether a user has, or ever had, a token. Holds back others who ask until the transaction ends. */
export async function lockHasToken(tx: Queryable, user: string): Promise<boolean> {
  // two statements: the second one sees what the holder of the lock has committed
  await tx.query(`SELECT pg_advisory_xact_lock(hashtextextended('tidemark.tokens', 0))`);
  const { rows } = await tx.query(`SELECT 1 FROM tidemark.tokens WHERE user_name = $1 LIMIT 1`, [user]);
  return rows.length > 0;
}
