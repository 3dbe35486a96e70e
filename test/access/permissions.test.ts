import { describe, expect, it } from '@jest/globals';
import { type Identity, Permissions, ROLES, type Role } from '#libs/access';
import { identityOf } from '../../libs/access/identity.ts';

const permissions = new Permissions();

function person(roles: readonly Role[], projects: Record<string, readonly Role[]> = {}): Identity {
  return { user: 'joe', roles, projects: new Map(Object.entries(projects)) };
}

describe('a permission', () => {
  it('of a role is one of every role above it', () => {
    for (const { resource, action, roles } of permissions.list()) {
      expect(roles).toEqual(ROLES.slice(ROLES.length - roles.length));
      for (const role of ROLES) {
        expect(permissions.may(person([role]), resource, action)).toBe(roles.includes(role));
      }
    }
  });

  it('is never that of somebody unknown, but where the table says so', () => {
    const open = permissions.list().filter(({ resource, action }) => permissions.may(undefined, resource, action));
    expect(open.map(({ resource, action }) => `${resource}:${action}`)).toEqual(['health:read', 'metrics:read']);
  });

  it('of an action that the table lacks is nobody’s', () => {
    for (const action of ['raed', 'toString', '__proto__', '']) {
      expect(permissions.may(person(['admin']), 'wiki', action)).toBe(false);
    }
  });

  it('of a resource that the table lacks follows one rule', () => {
    for (const resource of ['plate', 'constructor', '__proto__']) {
      expect(ROLES.filter((role) => permissions.may(person([role]), resource, 'read'))).toEqual(ROLES);
      expect(ROLES.filter((role) => permissions.may(person([role]), resource, 'frob'))).toEqual(ROLES.slice(1));
      expect(permissions.may(person([]), resource, 'read')).toBe(false);
    }
  });
});

describe('a role in a project', () => {
  it('counts there instead of the others, upwards and downwards', () => {
    const joe = person(['editor'], { alpha: ['coordinator'], beta: ['viewer'] });
    const may = (project?: string | null) => permissions.may(joe, 'ticket', 'modify', project);
    expect([may(), may(null), may('alpha'), may('beta'), may('gamma')]).toEqual([true, true, true, false, true]);
    expect(permissions.may(joe, 'ticket', 'batch', 'alpha')).toBe(true);
    expect(permissions.may(joe, 'ticket', 'batch')).toBe(false);
  });

  it('is enough to do something somewhere', () => {
    const joe = person([], { alpha: ['viewer'] });
    expect(permissions.mayAnywhere(joe, 'plate', 'read')).toBe(true);
    expect(permissions.mayAnywhere(joe, 'plate', 'modify')).toBe(false);
    expect(permissions.may(joe, 'plate', 'read')).toBe(false);
  });

  it('does not count against an admin, also when a token lends less', () => {
    const admin = { user: 'joe', userRoles: ['admin'], projectRoles: { alpha: ['viewer'] } };
    expect(permissions.may(identityOf({ ...admin, tokenRoles: [] }), 'plate', 'modify', 'alpha')).toBe(true);
    expect(permissions.may(identityOf({ ...admin, tokenRoles: ['editor'] }), 'plate', 'modify', 'alpha')).toBe(true);
    expect(permissions.may(identityOf({ ...admin, tokenRoles: ['viewer'] }), 'plate', 'modify', 'alpha')).toBe(false);
  });
});

describe('a refusal', () => {
  it('names the permission, who has it, and what the user has instead', () => {
    const joe = person(['editor'], { alpha: [] });
    expect(() => permissions.check(joe, 'ticket', 'delete')).toThrow(
      'this needs the permission ticket:delete, which is for the role coordinator and those above; joe has the role editor',
    );
    expect(() => permissions.check(joe, 'status', 'read')).toThrow(/for admins; joe has the role editor$/);
    expect(() => permissions.check(joe, 'plate', 'modify', 'alpha')).toThrow(/joe has no role in the project "alpha"$/);
  });
});

describe('further permissions', () => {
  it('are judged and listed like those of the table', () => {
    const more = new Permissions({
      plate: { read: ['viewer', 'see shots'], approve: ['coordinator', 'approve a plate'] },
    });
    expect(more.may(person(['editor']), 'plate', 'approve')).toBe(false);
    expect(more.may(person(['coordinator']), 'plate', 'approve')).toBe(true);
    expect(more.may(person(['admin']), 'plate', 'modify')).toBe(false);
    expect(more.list().slice(-2)).toMatchObject([{ resource: 'plate', action: 'read' }, { action: 'approve' }]);
  });

  it('change nothing that is there, and name who may', () => {
    expect(() => new Permissions({ wiki: { read: ['anyone', 'see all'] } })).toThrow(/wiki are fixed/);
    expect(() => new Permissions({ plate: { read: ['visitor' as 'viewer', 'see'] } })).toThrow(
      /plate:read is for "visitor"/,
    );
  });
});
