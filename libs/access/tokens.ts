import { createHash, randomBytes } from 'node:crypto';
import { KernelError, type Queryable } from '#libs/database';
import { insertToken, selectTokens, selectTokensNamed, type Token, updateRevoked, useToken } from './tokens.queries.ts';

/** Who makes a request: the user its token belongs to, and what the user may do. */
export interface Identity {
  readonly user: string;
  readonly roles: readonly string[];
}

export interface NewToken {
  readonly user: string;
  readonly roles?: readonly string[];
  /** Never, if not given. */
  readonly expires?: Date;
}

/** A token just made. Its text can be had here and never again. */
export interface CreatedToken {
  readonly token: string;
  readonly prefix: string;
  readonly id: number;
}

/** Makes a token for a user. KernelError `invalid` for an unusable name or role, or an expiry that has passed. */
export async function createToken(db: Queryable, { user, roles = [], expires }: NewToken): Promise<CreatedToken> {
  if (!/^[^\p{Cc}]{1,200}$/u.test(user) || user.trim() !== user) {
    throw new KernelError(
      'invalid',
      `"${user}" is not a user name: 1 to 200 characters, no control characters or spaces around`,
    );
  }
  for (const role of roles) {
    if (!/^[a-z][a-z0-9_-]{0,62}$/.test(role)) {
      throw new KernelError('invalid', `"${role}" is not a role: small letters, digits, - and _`);
    }
  }
  if (expires !== undefined && !(expires.getTime() > Date.now())) {
    throw new KernelError('invalid', 'a token must expire in the future');
  }
  return storeToken(db, newTokenText(), { user, roles, ...(expires === undefined ? {} : { expires }) });
}

/** The owner of a token's text, unless it is unknown, revoked or expired. Notes at most once a minute that it was used. */
export async function findToken(db: Queryable, token: string): Promise<Identity | undefined> {
  if (!isTokenText(token)) return undefined;
  const found = await useToken(db, hashOf(token));
  return found === undefined ? undefined : { user: found.user, roles: found.roles };
}

/** Every token that was ever made, the oldest first, without their texts. */
export async function listTokens(db: Queryable): Promise<Token[]> {
  return selectTokens(db);
}

/**
 * Revokes the token with that id or prefix; again does no harm. Processes honour it within 5 seconds. KernelError
 * `not_found`, or `conflict` when several have the prefix.
 */
export async function revokeToken(db: Queryable, idOrPrefix: string | number): Promise<Token> {
  const [found, other] = await selectTokensNamed(db, String(idOrPrefix));
  if (found === undefined)
    throw new KernelError('not_found', `there is no token with the id or prefix "${idOrPrefix}"`);
  if (other !== undefined) throw new KernelError('conflict', `several tokens begin with "${idOrPrefix}": revoke by id`);
  return updateRevoked(db, found.id);
}

/** Stores the hash of a text that newTokenText() has made. */
export async function storeToken(
  db: Queryable,
  token: string,
  { user, roles = [], expires }: NewToken,
): Promise<CreatedToken> {
  const prefix = token.slice(0, 12);
  const id = await insertToken(db, { prefix, hash: hashOf(token), user, roles, expires: expires ?? null });
  return { token, prefix, id };
}

export function newTokenText(): string {
  return `tdm_${randomBytes(32).toString('base64url')}`;
}

export function isTokenText(text: string): boolean {
  return /^tdm_[\w-]{43}$/.test(text);
}

export function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
