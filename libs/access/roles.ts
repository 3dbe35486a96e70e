import { KernelError } from '#libs/database';

/** From the least to the highest: each role may do whatever those before it may. */
export const ROLES = ['viewer', 'editor', 'coordinator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

export function isRole(text: string): text is Role {
  return (ROLES as readonly string[]).includes(text);
}

/** Throws `invalid` for a word that is no role. */
export function checkRoles(roles: readonly string[]): asserts roles is readonly Role[] {
  const wrong = roles.find((role) => !isRole(role));
  if (wrong === undefined) return;
  throw new KernelError('invalid', `${JSON.stringify(wrong)} is not a role: there is ${ROLES.join(', ')}`);
}

/** The highest of some roles; words that are no roles do not count. */
export function highest(roles: readonly string[]): Role | undefined {
  return ROLES.findLast((role) => roles.includes(role));
}

/** The roles that are left when none is higher than the highest of `most`: in place of those above it stands that one. */
export function capped(roles: readonly string[], most: readonly string[]): Role[] {
  const limit = highest(most);
  const top = highest(roles);
  if (limit === undefined || top === undefined) return [];
  const rank = ROLES.indexOf(limit);
  return ROLES.filter(
    (role, n) => (roles.includes(role) && n <= rank) || (role === limit && ROLES.indexOf(top) > rank),
  );
}
