export { ensureAdminToken } from './admin-token.ts';
export { type AccessOptions, authenticate } from './authenticate.ts';
export { isAddress } from './email.ts';
export type { Identity } from './identity.ts';
export { type Permission, Permissions, type PermissionTable } from './permissions.ts';
export { isRole, ROLES, type Role } from './roles.ts';
export { type Projects, RowProjects } from './row-projects.ts';
export type { Token, TokenRange } from './tokens.queries.ts';
export { type CreatedToken, createToken, listTokens, type NewToken, revokeToken, verifyToken } from './tokens.ts';
export type { User, UserRange } from './users.queries.ts';
export {
  addUser,
  disableUser,
  type Grant,
  getUser,
  grantRole,
  listUsers,
  type NewUser,
  revokeRole,
  setEmail,
} from './users.ts';
export { Visibility } from './visibility.ts';
