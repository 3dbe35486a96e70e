import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { verifyToken } from '#libs/access';
import { Database } from '#libs/database';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { command, type Ended } from './command.ts';

let database: TestDatabase;
let db: Database;
let folder: string;

beforeAll(async () => {
  database = await testDatabase();
  db = Database.open({ url: database.url, poolSize: 2 });
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-access-'));
});

afterAll(async () => {
  await db.close();
  await database.drop();
  await rm(folder, { recursive: true });
});

function tidemark(...args: string[]): Promise<Ended> {
  return command(args, { DATABASE_URL: database.url }, folder);
}

async function document(...args: string[]) {
  const { end, stdout, stderr } = await tidemark(...args, '--json');
  expect({ end, stderr }).toEqual({ end: 0, stderr: '' });
  return JSON.parse(stdout);
}

const printed = async (...args: string[]) => (await tidemark(...args)).stdout.trim();

test('users are added, granted roles, and listed', async () => {
  expect(await printed('user', 'add', 'joe', '--email', 'joe@example.org')).toBe('joe: no role');
  expect(await printed('user', 'grant', 'joe', 'viewer')).toBe('joe: viewer');
  expect(await printed('user', 'grant', 'joe', 'editor', '--project', 'alpha')).toBe(
    'joe: viewer; in projects alpha=editor',
  );
  expect(await document('user', 'add', 'ann', '--role', 'editor', '--role', 'admin')).toMatchObject({
    ...{ name: 'ann', roles: ['editor', 'admin'], projects: {}, disabled: null },
  });
  const users = await document('user', 'list');
  expect(users.map(({ name }: { name: string }) => name)).toEqual(['ann', 'joe']);
  expect(users[1]).toMatchObject({ email: 'joe@example.org', roles: ['viewer'], projects: { alpha: ['editor'] } });
  expect(await printed('user', 'list')).toMatch(/^joe +joe@example.org +viewer +alpha=editor +active/m);
  expect(await printed('user', 'email', 'joe', 'j@example.org')).toBe('mail for joe goes to j@example.org');
  expect(await document('user', 'email', 'joe')).toMatchObject({ name: 'joe', email: null });
  expect((await tidemark('user', 'email', 'joe', 'nonsense')).end).toBe(2);
  expect(await printed('user', 'revoke', 'joe', 'editor', '--project', 'alpha')).toBe('joe: viewer');
}, 30_000);

test('a token lends what its user has, or less, until it expires or its user is disabled', async () => {
  const made = await document('token', 'create', '--user', 'joe', '--expires', '30d');
  const { identity, expires } = await verifyToken(db, made.token);
  expect(identity).toMatchObject({ user: 'joe', roles: ['viewer'] });
  expect(Math.round(((expires as Date).getTime() - Date.now()) / 3_600_000)).toBe(720);
  const { stdout, stderr } = await tidemark('token', 'create', '--user', 'ann', '--role', 'viewer');
  expect(stderr).toMatch(/not shown again/);
  expect((await verifyToken(db, stdout.trim())).identity).toMatchObject({ user: 'ann', roles: ['viewer'] });
  expect((await document('token', 'list', '--user', 'ann')).length).toBe(1);

  expect(await printed('user', 'disable', 'joe')).toBe('joe: viewer; disabled');
  await expect(verifyToken(db, made.token)).rejects.toThrow(/disabled/);
  expect(await printed('user', 'enable', 'joe')).toBe('joe: viewer');
  expect(await printed('token', 'revoke', made.prefix)).toMatch(/of joe is revoked$/);
  await expect(verifyToken(db, made.token)).rejects.toThrow(/was revoked/);
}, 30_000);

test('permissions are printed without a database', async () => {
  const { end, stdout } = await command(['permissions'], { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/x' }, folder);
  expect([end, stdout.split('\n')[1]]).toEqual([
    0,
    expect.stringMatching(/^wiki +read +- +- +yes +yes +yes +yes +see pages/),
  ]);
  expect((await document('permissions'))[0]).toEqual({
    ...{ resource: 'wiki', action: 'read', what: expect.any(String), anyone: false, user: false },
    roles: ['viewer', 'editor', 'coordinator', 'admin'],
  });
});

test.each<[number, RegExp, ...string[]]>([
  [2, /"root" is not a role: there is viewer, editor/, 'user', 'grant', 'ann', 'root'],
  [2, /an admin is one everywhere/, 'user', 'grant', 'ann', 'admin', '--project', 'alpha'],
  [2, /there is no user "bob"/, 'user', 'grant', 'bob', 'editor'],
  [2, /there is no user "bob": add the user, or name the roles/, 'token', 'create', '--user', 'bob'],
  [2, /"nowhere" is not an e-mail address/, 'user', 'add', 'bob', '--email', 'nowhere'],
  [2, /soon is not a time/, 'token', 'create', '--user', 'ann', '--expires', 'soon'],
  [2, /must expire in the future/, 'token', 'create', '--user', 'ann', '--expires', '2001-01-01T00:00:00Z'],
  [4, /there is a user "ann" already/, 'user', 'add', 'ann'],
  [
    4,
    /joe has the role viewer: a token cannot lend the role admin/,
    'token',
    'create',
    '--user',
    'joe',
    '--role',
    'admin',
  ],
])('ends with %i and %s', async (exit, sentence, ...args) => {
  const { end, stdout, stderr } = await tidemark(...args);
  expect({ end, stdout, stderr }).toEqual({ end: exit, stdout: '', stderr: expect.stringMatching(sentence) });
});
