import type { Queryable } from '#libs/database';
import { projectRoles } from './users.queries.ts';

/** A token as it may be shown: without what would let anybody use it. */
export interface Token {
  readonly id: number;
  readonly prefix: string;
  readonly user: string;
  /** The most that it lends of its user's roles; empty: all of them. */
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

/** A token as it is met when somebody uses it, with its user's roles, by project where they count in one only. */
export interface UsedToken {
  readonly user: string;
  readonly token_roles: string[];
  readonly user_roles: string[];
  readonly project_roles: Record<string, string[]>;
  readonly expires: Date | null;
  readonly expired: boolean;
  readonly revoked: Date | null;
  readonly disabled: Date | null;
}

/** Inserts a token and returns its id. A user that does not exist is made, with the token's roles. */
export async function insertToken(db: Queryable, token: TokenRow): Promise<number> {
  const { rows } = await db.query<{ id: number }>(
    `INSERT INTO tidemark.tokens (prefix, hash, user_name, roles, expires) VALUES ($1, $2, $3, $4, $5) RETURNING id`,
    [token.prefix, token.hash, token.user, token.roles, token.expires],
  );
  return (rows[0] as { id: number }).id;
}

/**
 * The token with a hash, valid or not. Notes at most once a minute that a valid one was used, and skips even that when another process is
 * noting it: nobody waits for a lock here.
 */
export async function useToken(db: Queryable, hash: Buffer): Promise<UsedToken | undefined> {
  const { rows } = await db.query<UsedToken>(
    `WITH found AS (
       SELECT t.id, t.user_name, t.roles, u.roles AS user_roles, t.expires, t.revoked, u.disabled,
           coalesce(t.expires <= now(), false) AS expired
         FROM tidemark.tokens t JOIN tidemark.users u ON u.name = t.user_name WHERE t.hash = $1
     ), stale AS (
       SELECT t.id FROM tidemark.tokens t JOIN found f USING (id)
         WHERE f.revoked IS NULL AND f.disabled IS NULL AND NOT f.expired
           AND (t.last_used IS NULL OR t.last_used < now() - interval '1 minute')
         FOR NO KEY UPDATE OF t SKIP LOCKED
     ), noted AS (
       UPDATE tidemark.tokens t SET last_used = now() FROM stale WHERE t.id = stale.id
     )
     SELECT f.user_name AS "user", f.roles AS token_roles, f.user_roles, f.expires, f.expired, f.revoked, f.disabled,
         ${projectRoles('f.user_name')} AS project_roles
       FROM found f`,
    [hash],
    'tidemark_token',
  );
  return rows[0];
}

/** Which tokens are listed: those of one user only, those after an id, at most so many. */
export interface TokenRange {
  readonly user?: string | undefined;
  readonly after?: number | undefined;
  readonly limit?: number | undefined;
}

/** Tokens that were ever made, the oldest first. */
export async function selectTokens(db: Queryable, { user, after, limit }: TokenRange): Promise<Token[]> {
  const { rows } = await db.query<Token>(
    `SELECT id, prefix, user_name AS "user", roles, created, last_used, expires, revoked FROM tidemark.tokens
       WHERE ($1::text IS NULL OR user_name = $1) AND id > $2 ORDER BY id LIMIT $3`,
    [user ?? null, after ?? 0, limit ?? null],
  );
  return rows;
}

/** The tokens that a person may mean by a text: the one with that id, or those with that prefix. */
export async function selectTokensNamed(
  db: Queryable,
  text: string,
): Promise<{ id: number; prefix: string; user: string }[]> {
  const { rows } = await db.query<{ id: number; prefix: string; user: string }>(
    `SELECT id, prefix, user_name AS "user" FROM tidemark.tokens WHERE id::text = $1 OR prefix = $1 ORDER BY id`,
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
