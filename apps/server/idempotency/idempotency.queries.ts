import type { Queryable } from '#libs/database';

/** An answer as it was sent first. */
export interface StoredAnswer {
  readonly user_name: string;
  readonly request: Buffer;
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/**
 * Takes a key for the rest of the transaction; false when another transaction has it. The lock's first 16 bits are not those of the
 * journal's floor, so that a key holds up no tail.
 */
export async function lockKey(tx: Queryable, key: string): Promise<boolean> {
  const { rows } = await tx.query<{ locked: boolean }>(
    `SELECT pg_try_advisory_xact_lock((29797::bigint << 48) | (hashtextextended($1, 0) & ((1::bigint << 48) - 1))) AS locked`,
    [key],
    'tidemark_idempotency_lock',
  );
  return rows[0]?.locked === true;
}

/** The answer that is stored under a key and not yet too old. To be asked after the key is locked: before, it may not be visible yet. */
export async function findAnswer(tx: Queryable, key: string): Promise<StoredAnswer | undefined> {
  const { rows } = await tx.query<StoredAnswer>(
    `SELECT user_name, request, status, headers, body FROM tidemark.idempotency_keys
       WHERE key = $1 AND created > clock_timestamp() - interval '24 hours'`,
    [key],
    'tidemark_idempotency_find',
  );
  return rows[0];
}

/** Stores the answer of a key that is locked, in place of one that is too old. */
export async function storeAnswer(tx: Queryable, key: string, answer: StoredAnswer): Promise<void> {
  const { user_name, request, status, headers, body } = answer;
  await tx.query(
    `INSERT INTO tidemark.idempotency_keys (key, user_name, request, status, headers, body) VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT (key) DO UPDATE SET (user_name, request, status, headers, body, created) = (excluded.user_name, excluded.request,
         excluded.status, excluded.headers, excluded.body, excluded.created)`,
    [key, user_name, request, status, headers, body],
    'tidemark_idempotency_store',
  );
}

/** Deletes some answers that are too old; returns how many. Passes over those that somebody else is deleting. */
export async function pruneAnswers(db: Queryable, limit: number): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM tidemark.idempotency_keys WHERE key IN (
       SELECT key FROM tidemark.idempotency_keys WHERE created < clock_timestamp() - interval '24 hours'
         ORDER BY created LIMIT $1 FOR UPDATE SKIP LOCKED)`,
    [limit],
  );
  return rowCount;
}
