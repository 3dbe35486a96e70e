import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { addUser, disableUser, getUser, grantRole, listUsers, revokeRole } from '#libs/access';
import { Database } from '#libs/database';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

let test: TestDatabase;
let db: Database;

beforeAll(async () => {
  test = await testDatabase();
  db = Database.open({ url: test.url });
});

afterAll(async () => {
  await db.close();
  await test.drop();
});

describe('a user', () => {
  it('is added with an address and roles, once', async () => {
    const joe = await addUser(db, { name: 'joe', email: 'joe@example.org', roles: ['editor', 'editor'] });
    expect(joe).toEqual({
      ...{ name: 'joe', email: 'joe@example.org', roles: ['editor'], projects: {}, disabled: null },
      created: expect.any(Date),
    });
    await expect(addUser(db, { name: 'joe' })).rejects.toMatchObject({ code: 'conflict' });
    expect(await listUsers(db)).toEqual([joe]);
  });

  it.each([
    [{ name: '' }],
    [{ name: ' joe' }],
    [{ name: 'a\0b' }],
    [{ name: '\ud800' }],
    [{ name: 'x'.repeat(201) }],
    [{ name: 'ann', email: 'nowhere' }],
    [{ name: 'ann', email: 'ann@example.org,' }],
    [{ name: 'ann', email: '<ann@example.org>' }],
    [{ name: 'ann', email: 'a..n@example.org' }],
    [{ name: 'ann', email: `${'a'.repeat(65)}@example.org` }],
    [{ name: 'ann', roles: ['root'] }],
  ])('is not added from %j', async (input) => {
    await expect(addUser(db, input)).rejects.toMatchObject({ code: 'invalid' });
  });

  it('is disabled since the first time, and enabled again', async () => {
    const { disabled } = await disableUser(db, 'joe');
    expect(disabled).toBeInstanceOf(Date);
    expect((await disableUser(db, 'joe')).disabled).toEqual(disabled);
    expect((await disableUser(db, 'joe', false)).disabled).toBeNull();
    await expect(disableUser(db, 'nobody')).rejects.toMatchObject({ code: 'not_found' });
  });

  it.each([
    ['DELETE FROM tidemark.users'],
    [`UPDATE tidemark.users SET name = 'ann'`],
    [`UPDATE tidemark.project_roles SET user_name = 'ann'`],
    ['TRUNCATE tidemark.users CASCADE'],
  ])("is out of reach of the program's role: %s", async (statement) => {
    await expect(db.query(statement)).rejects.toMatchObject({ code: '42501' });
  });
});

describe('a role', () => {
  it('is granted and revoked everywhere and in projects, and again without harm', async () => {
    await addUser(db, { name: 'ann' });
    for (let time = 1; time <= 2; time++) {
      await grantRole(db, { user: 'ann', role: 'viewer' });
      await grantRole(db, { user: 'ann', role: 'editor', project: 'alpha' });
    }
    await grantRole(db, { user: 'ann', role: 'coordinator', project: '__proto__' });
    const ann = await getUser(db, 'ann');
    expect(ann.roles).toEqual(['viewer']);
    expect(Object.entries(ann.projects)).toEqual([
      ['__proto__', ['coordinator']],
      ['alpha', ['editor']],
    ]);
    for (let time = 1; time <= 2; time++) {
      await revokeRole(db, { user: 'ann', role: 'viewer' });
      await revokeRole(db, { user: 'ann', role: 'editor', project: 'alpha' });
    }
    await revokeRole(db, { user: 'ann', role: 'coordinator', project: '__proto__' });
    expect(await getUser(db, 'ann')).toMatchObject({ roles: [], projects: {} });
  });

  it('that many grant at once is there once, and no other is lost', async () => {
    await addUser(db, { name: 'ben' });
    const roles = ['viewer', 'editor', 'coordinator', 'admin'];
    await Promise.all([...roles, ...roles, ...roles].map((role) => grantRole(db, { user: 'ben', role })));
    expect((await getUser(db, 'ben')).roles.toSorted()).toEqual(roles.toSorted());
  });

  it.each([
    [{ user: 'ann', role: 'root' }, 'invalid'],
    [{ user: 'ann', role: 'admin', project: 'alpha' }, 'invalid'],
    [{ user: 'ann', role: 'viewer', project: '' }, 'invalid'],
    [{ user: 'nobody', role: 'viewer' }, 'not_found'],
    [{ user: 'nobody', role: 'viewer', project: 'alpha' }, 'not_found'],
  ])('is neither granted nor revoked by %j', async (grant, code) => {
    await expect(grantRole(db, grant)).rejects.toMatchObject({ code });
    await expect(revokeRole(db, grant)).rejects.toMatchObject({ code });
  });
});
