import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { listUsers, Permissions, verifyToken } from '#libs/access';
import { Database } from '#libs/database';
import { migrate, migrationsFolder } from '#libs/migrations';
import { hashOf, newTokenText } from '../../libs/access/tokens.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

let test: TestDatabase;
let owner: Database;
let before: string;

beforeAll(async () => {
  test = await testDatabase({ migrated: false });
  owner = Database.open({ url: test.ownerUrl });
  before = await mkdtemp(join(tmpdir(), 'tidemark-upgrade-'));
  const files = (await readdir(migrationsFolder)).filter((file) => file < '0005');
  for (const file of files) await cp(join(migrationsFolder, file), join(before, file));
  await migrate(test.ownerUrl, [before]);
});

afterAll(async () => {
  await owner.close();
  await test.drop();
  await rm(before, { recursive: true });
});

/** As earlier versions made a token: any user, any word as a role. */
async function earlierToken(user: string, roles: string[], state = 'revoked = NULL'): Promise<string> {
  const text = newTokenText();
  const prefix = text.slice(0, 12);
  await owner.query('INSERT INTO tidemark.tokens (prefix, hash, user_name, roles) VALUES ($1, $2, $3, $4)', [
    ...[prefix, hashOf(text), user, roles],
  ]);
  await owner.query(`UPDATE tidemark.tokens SET ${state} WHERE prefix = $1`, [prefix]);
  return text;
}

const bearer = async (token: string) => (await verifyToken(owner, token)).identity;

it('tokens of an earlier version go on working, with what they could do and no more', async () => {
  const admin = await earlierToken('admin', ['admin']);
  const beside = await earlierToken('admin', []);
  const plain = await earlierToken('joe', []);
  const worded = await earlierToken('ann', ['writer', 'viewer']);
  const strange = await earlierToken('a\nb', ['boss']);
  const revoked = await earlierToken('former', ['admin'], 'revoked = now()');
  await earlierToken('late', ['admin'], `expires = now() - interval '1 day'`);

  await migrate(test.ownerUrl, [migrationsFolder]);
  expect(await bearer(admin)).toMatchObject({ user: 'admin', roles: ['editor', 'admin'] });
  expect((await bearer(beside)).roles).toEqual(['editor']);
  expect(await bearer(plain)).toMatchObject({ user: 'joe', roles: ['editor'] });
  expect(await bearer(worded)).toMatchObject({ user: 'ann', roles: ['viewer'] });
  expect(await bearer(strange)).toMatchObject({ user: 'a\nb', roles: ['editor'] });
  await expect(bearer(revoked)).rejects.toMatchObject({ code: 'unauthenticated' });
  const roles = (await listUsers(owner)).map((user) => [user.name, user.roles.toSorted()]);
  expect(Object.fromEntries(roles)).toEqual({
    ...{ admin: ['admin', 'editor'], joe: ['editor'], ann: ['viewer'], 'a\nb': ['editor'], former: [], late: [] },
  });
  expect(new Permissions().may(await bearer(plain), 'status', 'read')).toBe(false);
});

it('a token that an earlier version makes meanwhile has a user', async () => {
  expect((await bearer(await earlierToken('new', ['admin']))).roles).toEqual(['admin']);
  expect((await bearer(await earlierToken('newer', ['writer', 'viewer']))).roles).toEqual(['viewer']);
  // one without a known role can do nothing until its user is granted one
  expect(await bearer(await earlierToken('newest', []))).toMatchObject({ user: 'newest', roles: [] });
});
