import { hash, randomBytes } from 'node:crypto';
import { KernelError, type Queryable } from '#libs/database';
import { type Identity, identityOf } from './identity.ts';
import { checkRoles, highest, ROLES } from './roles.ts';
import {
  insertToken,
  selectTokens,
  selectTokensNamed,
  type Token,
  type TokenRange,
  updateRevoked,
  useToken,
} from './tokens.queries.ts';
import { selectUser } from './users.queries.ts';
import { checkUserName } from './users.ts';

export interface NewToken {
  readonly user: string;
  /** The most that the token lends of its user's roles; none: whatever they are when it is used. */
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

/**
 * Makes a token for a user; with roles also for one who does not exist yet, who is made with these roles. KernelError `invalid` for an
 * unusable name, role or expiry, `not_found` for an unknown user without roles, `conflict` for a disabled one, `forbidden` for a role above
 * those of the user.
 */
export async function createToken(db: Queryable, { user, roles = [], expires }: NewToken): Promise<CreatedToken> {
  checkUserName(user);
  checkRoles(roles);
  if (expires !== undefined && !(expires.getTime() > Date.now())) {
    throw new KernelError('invalid', 'a token must expire in the future');
  }
  await checkOwner(db, user, roles);
  return storeToken(db, newTokenText(), { user, roles, ...(expires === undefined ? {} : { expires }) });
}

// A look at things as they are: what a token really lends is judged at each use.
async function checkOwner(db: Queryable, name: string, roles: readonly string[]): Promise<void> {
  const user = await selectUser(db, name);
  if (user === undefined) {
    if (roles.length > 0) return;
    throw new KernelError('not_found', `there is no user ${JSON.stringify(name)}: add the user, or name the roles`);
  }
  if (user.disabled) throw new KernelError('conflict', `the user ${name} is disabled`);
  const held = highest([...user.roles, ...Object.values(user.projects).flat()]);
  const asked = highest(roles);
  if (asked === undefined || (held && ROLES.indexOf(held) >= ROLES.indexOf(asked))) return;
  const has = held ? `has the role ${held}` : 'has no role';
  throw new KernelError('forbidden', `${name} ${has}: a token cannot lend the role ${asked}`);
}

/**
 * Who a token's text stands for, asked of the database, and until when. Notes at most once a minute that it was used. Throws
 * `unauthenticated`, with the reason, when it is unknown, revoked or expired, or its user disabled.
 */
export async function verifyToken(db: Queryable, token: string): Promise<{ identity: Identity; expires: Date | null }> {
  if (!isTokenText(token)) {
    throw unauthenticated('this is not a token of this program: one begins with tdm_ and has 47 characters');
  }
  const found = await useToken(db, hashOf(token));
  const prefix = prefixOf(token);
  if (found === undefined) throw unauthenticated(`the token ${prefix}… is not known here`);
  if (found.revoked) throw unauthenticated(`the token ${prefix}… was revoked at ${found.revoked.toISOString()}`);
  if (found.expired) throw unauthenticated(`the token ${prefix}… expired at ${found.expires?.toISOString()}`);
  if (found.disabled) throw unauthenticated(`the user of the token ${prefix}… is disabled`);
  const { user, user_roles: userRoles, token_roles: tokenRoles, project_roles: projectRoles } = found;
  const identity = identityOf({ user, userRoles, tokenRoles, projectRoles });
  return { identity, expires: found.expires };
}

/** Tokens that were ever made, the oldest first, without their texts; those of one user only where one is named. */
export async function listTokens(db: Queryable, range: TokenRange = {}): Promise<Token[]> {
  return selectTokens(db, range);
}

/**
 * Revokes the token with that id or prefix; again does no harm. Processes honour it within 5 seconds. KernelError `not_found`, also when it
 * is another's than the named user's, or `conflict` when several have the prefix.
 */
export async function revokeToken(db: Queryable, idOrPrefix: string | number, user?: string): Promise<Token> {
  const named = await selectTokensNamed(db, String(idOrPrefix));
  const [found, other] = user === undefined ? named : named.filter((token) => token.user === user);
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
  const prefix = prefixOf(token);
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
  return hash('sha256', token, 'buffer');
}

function prefixOf(token: string): string {
  return token.slice(0, 12);
}

function unauthenticated(message: string): KernelError {
  return new KernelError('unauthenticated', message);
}
