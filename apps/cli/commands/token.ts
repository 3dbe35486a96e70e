import { createToken, listTokens, revokeToken } from '#libs/access';
import { KernelError } from '#libs/database';
import { type ReaderOptions, withReader } from '../open.ts';
import { print, printJson, say, table } from '../output.ts';
import type { Context } from '../program.ts';

interface CreateOptions extends ReaderOptions {
  user: string;
  role: string[];
  expires?: string;
}

/** `tidemark token create`: the only time the token is shown. */
export async function tokenCreate(_context: Context, options: CreateOptions): Promise<void> {
  const expires = options.expires === undefined ? {} : { expires: time(options.expires) };
  await withReader(options, async ({ db }) => {
    const made = await createToken(db, { user: options.user, roles: options.role, ...expires });
    if (options.json) await printJson({ ...made, user: options.user, roles: options.role });
    else {
      say(`token ${made.id} for ${options.user}; it is not shown again:`);
      await print(made.token);
    }
  });
}

/** `tidemark token list`. */
export async function tokenList(_context: Context, options: ReaderOptions & { user?: string }): Promise<void> {
  await withReader(options, async ({ db }) => {
    const tokens = await listTokens(db, { user: options.user });
    if (options.json) return printJson(tokens);
    const rows = tokens.map((token) => [
      String(token.id),
      `${token.prefix}…`,
      token.user,
      token.roles.join(',') || 'all',
      token.revoked ? 'revoked' : token.expires && token.expires.getTime() < Date.now() ? 'expired' : 'valid',
      token.created.toISOString(),
      token.last_used?.toISOString() ?? 'never used',
      token.expires?.toISOString() ?? 'never',
    ]);
    await print(table([['id', 'token', 'user', 'roles', 'state', 'created', 'last used', 'expires'], ...rows]));
  });
}

/** `tidemark token revoke`. */
export async function tokenRevoke(_context: Context, idOrPrefix: string, options: ReaderOptions): Promise<void> {
  await withReader(options, async ({ db }) => {
    const token = await revokeToken(db, idOrPrefix);
    await (options.json ? printJson(token) : print(`token ${token.id} (${token.prefix}…) of ${token.user} is revoked`));
  });
}

const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };
const RFC3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;

function time(text: string): Date {
  const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  const date = unit ? new Date(Date.now() + Number(count) * (UNITS[unit] as number)) : new Date(text);
  if ((unit || RFC3339.test(text)) && !Number.isNaN(date.getTime())) return date;
  throw new KernelError('invalid', `${text} is not a time such as 2026-01-31T12:00:00Z, nor one from now such as 30d`);
}
