import { addUser, disableUser, grantRole, listUsers, revokeRole, setEmail, type User } from '#libs/access';
import type { Queryable } from '#libs/database';
import { type ReaderOptions, withReader } from '../open.ts';
import { print, printJson, table } from '../output.ts';
import type { Context } from '../program.ts';

interface AddOptions extends ReaderOptions {
  email?: string;
  role: string[];
}

interface GrantOptions extends ReaderOptions {
  project?: string;
}

/** `tidemark user list`. */
export async function userList(_context: Context, options: ReaderOptions): Promise<void> {
  await withReader(options, async ({ db }) => {
    const users = await listUsers(db);
    if (options.json) return printJson(users);
    const rows = users.map((user) => [
      user.name,
      user.email ?? '-',
      user.roles.join(',') || '-',
      projectsText(user) || '-',
      user.disabled ? 'disabled' : 'active',
      user.created.toISOString(),
    ]);
    await print(table([['user', 'e-mail', 'roles', 'in projects', 'state', 'created'], ...rows]));
  });
}

/** `tidemark user add`. */
export function userAdd(_context: Context, name: string, options: AddOptions): Promise<void> {
  return change(options, (db) => addUser(db, { name, email: options.email, roles: options.role }));
}

/** `tidemark user email`. */
export function userEmail(_context: Context, name: string, address: string | undefined, options: ReaderOptions) {
  return change(
    options,
    (db) => setEmail(db, name, address ?? null),
    ({ email }) => (email === null ? `${name} gets no mail` : `mail for ${name} goes to ${email}`),
  );
}

/** `tidemark user grant`. */
export function userGrant(_context: Context, user: string, role: string, options: GrantOptions): Promise<void> {
  return change(options, (db) => grantRole(db, { user, role, project: options.project }));
}

/** `tidemark user revoke`. */
export function userRevoke(_context: Context, user: string, role: string, options: GrantOptions): Promise<void> {
  return change(options, (db) => revokeRole(db, { user, role, project: options.project }));
}

/** `tidemark user disable`. */
export function userDisable(_context: Context, name: string, options: ReaderOptions): Promise<void> {
  return change(options, (db) => disableUser(db, name));
}

/** `tidemark user enable`. */
export function userEnable(_context: Context, name: string, options: ReaderOptions): Promise<void> {
  return change(options, (db) => disableUser(db, name, false));
}

async function change(
  options: ReaderOptions,
  work: (db: Queryable) => Promise<User>,
  text: (user: User) => string = userText,
): Promise<void> {
  await withReader(options, async ({ db }) => {
    const user = await work(db);
    await (options.json ? printJson(user) : print(text(user)));
  });
}

function userText(user: User): string {
  const projects = projectsText(user);
  const parts = [
    user.roles.join(', ') || 'no role',
    projects && `in projects ${projects}`,
    user.disabled && 'disabled',
  ];
  return `${user.name}: ${parts.filter(Boolean).join('; ')}`;
}

function projectsText({ projects }: User): string {
  return Object.entries(projects)
    .map(([project, roles]) => `${project}=${roles.join('+')}`)
    .join(' ');
}
