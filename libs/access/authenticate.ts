import { timingSafeEqual } from 'node:crypto';
import { KernelError, type Queryable } from '#libs/database';
import type { Identity } from './identity.ts';
import { hashOf, verifyToken } from './tokens.ts';

/** The part of the configuration that access needs. */
export interface AccessOptions {
  /** Accepted as the user `admin` on any database, and stored in none. */
  readonly adminToken?: string | undefined;
}

const admin: Identity = Object.freeze({
  user: 'admin',
  roles: Object.freeze(['admin'] as const),
  projects: new Map(),
});

// A revoked token is refused this much later at most, in every process, and a role that was granted or revoked counts.
const REMEMBERED_MS = 5_000;
const REMEMBERED_TOKENS = 1_000;

// Of each database, the tokens that were found valid; by hash, so that no text of a token stays in memory.
const remembered = new WeakMap<Queryable, Map<string, { identity: Identity; until: number }>>();

/**
 * Who a token stands for. Throws `unauthenticated`, with the reason, when it is none, unknown, revoked or expired, or its user disabled. A
 * token found valid is believed for 5 seconds without asking the database again, its user's roles included, so what is revoked or granted
 * takes that long to be honoured; an expiry is honoured at once.
 */
export async function authenticate(db: Queryable, { adminToken }: AccessOptions, token: string): Promise<Identity> {
  const hash = hashOf(token);
  if (adminToken !== undefined && timingSafeEqual(hash, hashOf(adminToken))) return admin;

  const tokens = tokensOf(db);
  const key = hash.toString('base64');
  const known = tokens.get(key);
  if (known !== undefined && known.until > Date.now()) return known.identity;

  const asked = Date.now();
  try {
    const { identity, expires } = await verifyToken(db, token);
    if (tokens.size >= REMEMBERED_TOKENS) tokens.clear();
    const until = Math.min(asked + REMEMBERED_MS, expires?.getTime() ?? Number.POSITIVE_INFINITY);
    tokens.set(key, { identity, until });
    return identity;
  } catch (error) {
    if (error instanceof KernelError && error.code === 'unauthenticated') tokens.delete(key);
    throw error;
  }
}

function tokensOf(db: Queryable): Map<string, { identity: Identity; until: number }> {
  const tokens = remembered.get(db) ?? new Map();
  remembered.set(db, tokens);
  return tokens;
}
