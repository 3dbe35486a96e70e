import { type Permissions, ROLES } from '#libs/access';

/** Who may do what, as rows for people: a line of titles, then each resource and action with a yes for those who may. */
export function permissionRows(permissions: Permissions): string[][] {
  const titles = ['resource', 'action', 'no token', 'no role', ...ROLES, 'what it is'];
  const rows = permissions.list().map(({ resource, action, anyone, user, roles, what }) => {
    const may = [anyone, user, ...ROLES.map((role) => roles.includes(role))];
    return [resource, action, ...may.map((yes) => (yes ? 'yes' : '-')), what];
  });
  return [titles, ...rows];
}
