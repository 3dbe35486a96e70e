import { KernelError, type Queryable } from '#libs/database';
import { isAddress } from './email.ts';
import { checkRoles } from './roles.ts';
import {
  addRole,
  deleteProjectRole,
  insertProjectRole,
  insertUser,
  removeRole,
  selectUser,
  selectUsers,
  type User,
  type UserRange,
  updateDisabled,
  updateEmail,
} from './users.queries.ts';

export interface NewUser {
  readonly name: string;
  readonly email?: string | undefined;
  readonly roles?: readonly string[];
}

/** A role of a user: everywhere, or in one project. */
export interface Grant {
  readonly user: string;
  readonly role: string;
  readonly project?: string | undefined;
}

/** Throws `invalid` for what cannot be an author of the journal. */
export function checkUserName(name: string): void {
  if (/^[^\p{Cc}\p{Cs}]{1,200}$/u.test(name) && name.trim() === name) return;
  const rule = '1 to 200 characters, no control characters or spaces around';
  throw new KernelError('invalid', `${JSON.stringify(name)} is not a user name: ${rule}`);
}

/** Adds a user. KernelError `invalid` for an unusable name, address or role, `conflict` when there is one of that name. */
export async function addUser(db: Queryable, { name, email, roles = [] }: NewUser): Promise<User> {
  checkUserName(name);
  checkRoles(roles);
  if (email !== undefined) checkEmail(email);
  if (!(await insertUser(db, { name, email: email ?? null, roles: [...new Set(roles)] }))) {
    throw new KernelError('conflict', `there is a user ${JSON.stringify(name)} already`);
  }
  return getUser(db, name);
}

/** Gives a user another address for mail, or none: null. KernelError `invalid` for what is no address, `not_found`. */
export async function setEmail(db: Queryable, name: string, email: string | null): Promise<User> {
  if (email !== null) checkEmail(email);
  if (!(await updateEmail(db, name, email))) throw unknownUser(name);
  return getUser(db, name);
}

/** Users by name, all or some of them. */
export async function listUsers(db: Queryable, range: UserRange = {}): Promise<User[]> {
  return selectUsers(db, range);
}

/** The user of a name. KernelError `not_found`. */
export async function getUser(db: Queryable, name: string): Promise<User> {
  const user = await selectUser(db, name);
  if (user === undefined) throw unknownUser(name);
  return user;
}

/**
 * Gives a user a role, everywhere or in one project; again does no harm. Processes honour it within 5 seconds. KernelError `not_found` for
 * an unknown user, `invalid` for a word that is no role, and for an admin of one project.
 */
export async function grantRole(db: Queryable, { user, role, project }: Grant): Promise<User> {
  checkGrant(role, project);
  if (project === undefined) {
    if (!(await addRole(db, user, role))) throw unknownUser(user);
  } else {
    await getUser(db, user);
    await insertProjectRole(db, user, project, role);
  }
  return getUser(db, user);
}

/** Takes a role away again, everywhere or in one project; one that the user does not have, too. Otherwise like grantRole(). */
export async function revokeRole(db: Queryable, { user, role, project }: Grant): Promise<User> {
  checkGrant(role, project);
  if (project === undefined) await removeRole(db, user, role);
  else await deleteProjectRole(db, user, project, role);
  return getUser(db, user);
}

/** Refuses a user's tokens from now on, or accepts them again: within 5 seconds. KernelError `not_found`. */
export async function disableUser(db: Queryable, name: string, disabled = true): Promise<User> {
  if (!(await updateDisabled(db, name, disabled))) throw unknownUser(name);
  return getUser(db, name);
}

function checkEmail(email: string): void {
  if (isAddress(email)) return;
  throw new KernelError('invalid', `${JSON.stringify(email)} is not an e-mail address`);
}

function checkGrant(role: string, project: string | undefined): void {
  checkRoles([role]);
  if (project === undefined) return;
  if (role === 'admin') throw new KernelError('invalid', 'an admin is one everywhere: not of one project only');
  if (!/^[^\p{Cc}\p{Cs}]{1,200}$/u.test(project)) {
    throw new KernelError('invalid', `${JSON.stringify(project)} is not the id of a project: 1 to 200 characters`);
  }
}

function unknownUser(name: string): KernelError {
  return new KernelError('not_found', `there is no user ${JSON.stringify(name)}`);
}
