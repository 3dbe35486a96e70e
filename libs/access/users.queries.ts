import type { Queryable } from '#libs/database';

/** Somebody who may have tokens: the name is the journal's author. */
export interface User {
  readonly name: string;
  readonly email: string | null;
  readonly roles: string[];
  /** Roles in single projects, by project. */
  readonly projects: Record<string, string[]>;
  readonly created: Date;
  readonly disabled: Date | null;
}

/** Inserts a user; false when there is one of that name. */
export async function insertUser(
  db: Queryable,
  user: { name: string; email: string | null; roles: readonly string[] },
): Promise<boolean> {
  const { rowCount } = await db.query(
    'INSERT INTO tidemark.users (name, email, roles) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
    [user.name, user.email, user.roles],
  );
  return rowCount === 1;
}

/** Which users are listed: the one of a name, those after a name, at most so many. */
export interface UserRange {
  readonly name?: string | undefined;
  readonly after?: string | undefined;
  readonly limit?: number | undefined;
}

/** The roles of a user, given in SQL, in single projects: JSON by project. */
export function projectRoles(user: string): string {
  return `coalesce((
         SELECT json_object_agg(p.project, p.roles ORDER BY p.project) FROM (
           SELECT project, array_agg(role) AS roles FROM tidemark.project_roles WHERE user_name = ${user} GROUP BY project
         ) p
       ), '{}')`;
}

/** Users, by name in byte order. */
export async function selectUsers(db: Queryable, { name, after, limit }: UserRange): Promise<User[]> {
  const { rows } = await db.query<User>(
    `SELECT u.name, u.email, u.roles, u.created, u.disabled, ${projectRoles('u.name')} AS projects
       FROM tidemark.users u WHERE ($1::text IS NULL OR u.name = $1) AND u.name > $2 COLLATE "C" ORDER BY u.name COLLATE "C" LIMIT $3`,
    [name ?? null, after ?? '', limit ?? null],
  );
  return rows;
}

/** The user of a name. */
export async function selectUser(db: Queryable, name: string): Promise<User | undefined> {
  return (await selectUsers(db, { name }))[0];
}

/** Adds a role that counts everywhere, once; false when there is no such user. */
export async function addRole(db: Queryable, name: string, role: string): Promise<boolean> {
  const { rowCount } = await db.query(
    'UPDATE tidemark.users SET roles = array_append(array_remove(roles, $2), $2) WHERE name = $1',
    [name, role],
  );
  return rowCount === 1;
}

/** Takes a role away that counts everywhere; false when there is no such user. */
export async function removeRole(db: Queryable, name: string, role: string): Promise<boolean> {
  const { rowCount } = await db.query('UPDATE tidemark.users SET roles = array_remove(roles, $2) WHERE name = $1', [
    name,
    role,
  ]);
  return rowCount === 1;
}

/** Adds a role in one project, once. The user must exist. */
export async function insertProjectRole(db: Queryable, name: string, project: string, role: string): Promise<void> {
  await db.query(
    'INSERT INTO tidemark.project_roles (user_name, project, role) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
    [name, project, role],
  );
}

/** Takes a role in one project away. */
export async function deleteProjectRole(db: Queryable, name: string, project: string, role: string): Promise<void> {
  await db.query('DELETE FROM tidemark.project_roles WHERE user_name = $1 AND project = $2 AND role = $3', [
    name,
    project,
    role,
  ]);
}

/** Sets the address of a user, null for none; false when there is no such user. */
export async function updateEmail(db: Queryable, name: string, email: string | null): Promise<boolean> {
  const { rowCount } = await db.query('UPDATE tidemark.users SET email = $2 WHERE name = $1', [name, email]);
  return rowCount === 1;
}

/** Disables a user from now on, or enables it again; false when there is no such user. */
export async function updateDisabled(db: Queryable, name: string, disabled: boolean): Promise<boolean> {
  const { rowCount } = await db.query(
    'UPDATE tidemark.users SET disabled = CASE WHEN $2 THEN coalesce(disabled, now()) END WHERE name = $1',
    [name, disabled],
  );
  return rowCount === 1;
}
