import { timingSafeEqual } from 'node:crypto';
import type { Queryable } from '#libs/database';
import { useToken } from './tokens.queries.ts';
import { hashOf, type Identity, isTokenText } from './tokens.ts';

/** The part of the configuration that access needs. */
export interface AccessOptions {
  /** Accepted as the user `admin` on any database, and stored in none. */
  readonly adminToken?: string | undefined;
}

const admin: Identity = Object.freeze({ user: 'admin', roles: Object.freeze(['admin']) });

// A revoked token is refused this much later at most, in every process.
const REMEMBERED_MS = 5_000;
const REMEMBERED_TOKENS = 1_000;

// Of each database, the tokens that were found valid; by hash, so that no text of a token stays in memory.
const remembered = new WeakMap<Queryable, Map<string, { identity: Identity; until: number }>>();

/**
 * Who a token stands for, or undefined when it is unknown, revoked or expired. A token found valid is believed for 5 seconds
 * without asking the database again, so a revocation takes that long to be honoured; an expiry is honoured at once.
 */
export async function authenticate(
  db: Queryable,
  { adminToken }: AccessOptions,
  token: string,
): Promise<Identity | undefined> {
  const hash = hashOf(token);
  if (adminToken !== undefined && timingSafeEqual(hash, hashOf(adminToken))) return admin;
  if (!isTokenText(token)) return undefined;

  const tokens = tokensOf(db);
  const key = hash.toString('base64');
  const known = tokens.get(key);
  if (known !== undefined && known.until > Date.now()) return known.identity;

  const asked = Date.now();
  const found = await useToken(db, hash);
  if (found === undefined) {
    tokens.delete(key);
    return undefined;
  }
  if (tokens.size >= REMEMBERED_TOKENS) tokens.clear();
  const identity = { user: found.user, roles: found.roles };
  const until = Math.min(asked + REMEMBERED_MS, found.expires?.getTime() ?? Number.POSITIVE_INFINITY);
  tokens.set(key, { identity, until });
  return identity;
}

function tokensOf(db: Queryable): Map<string, { identity: Identity; until: number }> {
  const tokens = remembered.get(db) ?? new Map();
  remembered.set(db, tokens);
  return tokens;
}
