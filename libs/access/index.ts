export { ensureAdminToken } from './admin-token.ts';
export { type AccessOptions, authenticate } from './authenticate.ts';
export type { Token } from './tokens.queries.ts';
export {
  type CreatedToken,
  createToken,
  findToken,
  type Identity,
  listTokens,
  type NewToken,
  revokeToken,
} from './tokens.ts';
