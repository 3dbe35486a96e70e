import { capped, ROLES, type Role } from './roles.ts';

/** Who makes a request: the user its token belongs to, and the roles that count for it. */
export interface Identity {
  readonly user: string;
  readonly roles: readonly Role[];
  /** Roles in single projects, which count there instead of the others. An admin has none: an admin is one everywhere. */
  readonly projects: ReadonlyMap<string, readonly Role[]>;
}

/** What a token lends of the rights of its user. */
export interface Lent {
  readonly user: string;
  readonly userRoles: readonly string[];
  readonly projectRoles: Readonly<Record<string, readonly string[]>>;
  /** The most that the token lends; empty: everything. */
  readonly tokenRoles: readonly string[];
}

/** Who the bearer of a token is: its user, with the user's roles of this moment, and none higher than those of the token. */
export function identityOf({ user, userRoles, projectRoles, tokenRoles }: Lent): Identity {
  const lend = (roles: readonly string[]) =>
    tokenRoles.length === 0 ? ROLES.filter((role) => roles.includes(role)) : capped(roles, tokenRoles);
  const projects = userRoles.includes('admin') ? [] : Object.entries(projectRoles);
  return {
    user,
    roles: Object.freeze(lend(userRoles)),
    projects: new Map(projects.map(([project, roles]) => [project, Object.freeze(lend(roles))])),
  };
}
