import { request } from 'node:http';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { addUser, createToken, disableUser, grantRole, revokeToken } from '#libs/access';
import { Database } from '#libs/database';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Answer, type TestServer, testServer } from './server-fixture.ts';

let database: TestDatabase;
let owner: Database;
let server: TestServer;

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl });
  server = await testServer(database.url);
  await addUser(owner, { name: 'joe', roles: ['editor'] });
  await grantRole(owner, { user: 'joe', role: 'viewer', project: 'alpha' });
});
afterAll(async () => {
  await server?.close();
  await owner?.close();
  await database?.drop();
});

const ask = (token: string, path: string, method = 'GET'): Promise<Answer> =>
  server.ask(path, { method, headers: { authorization: `Bearer ${token}` } });

const put = (token: string): Promise<Answer> =>
  server.send('PUT', '/wiki/Refused', { text: 'text' }, { authorization: `Bearer ${token}` });

async function expectRefused(token: string, detail: RegExp): Promise<void> {
  for (const answer of [await ask(token, '/me'), await put(token)]) {
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([
      ...[401, 'Bearer realm="tidemark", error="invalid_token"'],
    ]);
    expect((await answer.json()).detail).toMatch(detail);
  }
}

it('a caller is told who it is', async () => {
  const { token } = await createToken(owner, { user: 'joe' });
  expect(await (await ask(token, '/me')).json()).toEqual({
    ...{ user: 'joe', roles: ['editor'], projects: { alpha: ['viewer'] } },
  });
  expect(await (await server.ask('/me')).json()).toEqual({ user: 'admin', roles: ['admin'], projects: {} });
});

it('a token that has expired, is revoked, or whose user is disabled is refused with the reason, and journals nothing', async () => {
  const expired = await createToken(owner, { user: 'joe', expires: new Date(Date.now() + 300) });
  await waitUntil(async () => (await ask(expired.token, '/me')).status === 401, 'it has expired');
  await expectRefused(expired.token, /^the token tdm_\S{8}… expired at 2\S+Z$/);
  const revoked = await createToken(owner, { user: 'joe' });
  await revokeToken(owner, revoked.id);
  await expectRefused(revoked.token, /^the token tdm_\S{8}… was revoked at 2\S+Z$/);
  const disabled = await createToken(owner, { user: 'sue', roles: ['editor'] });
  await disableUser(owner, 'sue');
  await expectRefused(disabled.token, /^the user of the token tdm_\S{8}… is disabled$/);
  await expectRefused(`tdm_${'x'.repeat(43)}`, /is not known here$/);
  await expectRefused('x'.repeat(10_000), /^this is not a token of this program/);
  expect((await (await server.ask('/journal')).json()).changes).toEqual([]);
});

it.each([
  ['letters beyond ASCII', 'Bearer t\xf6k\xebn'],
  ['two tokens', 'Bearer a, Bearer b'],
  ['nothing after the scheme', 'Bearer '],
  ['another scheme', 'Basic am9lOmpvZQ=='],
])('a header with %s is refused', async (_, authorization) => {
  const { hostname, port } = new URL(server.url);
  const status = await new Promise((resolve, reject) => {
    const asked = request({ hostname, port, path: '/me', headers: { authorization } }, (answer) => {
      answer.resume();
      resolve([answer.statusCode, answer.headers['www-authenticate']]);
    });
    asked.on('error', reject).end();
  });
  expect(status).toEqual([401, 'Bearer realm="tidemark", error="invalid_token"']);
});

it("one's own tokens are listed in pages, without what would let anybody use them, and revoked", async () => {
  await addUser(owner, { name: 'bob' });
  const made = [];
  for (let n = 0; n < 3; n++) made.push(await createToken(owner, { user: 'bob' }));
  const [first, second, third] = made as [(typeof made)[0], (typeof made)[0], (typeof made)[0]];
  const page = await (await ask(first.token, '/tokens?limit=2')).json();
  expect(page.items.map(({ id }: { id: number }) => id)).toEqual([first.id, second.id]);
  expect(page.items[0]).toEqual({
    ...{ id: first.id, prefix: first.prefix, user: 'bob', roles: [], created: expect.any(String) },
    ...{ last_used: expect.any(String), expires: null, revoked: null },
  });
  const rest = await (await ask(first.token, `/tokens?limit=2&cursor=${page.next}`)).json();
  expect([rest.items.length, rest.items[0].id, rest.next]).toEqual([1, third.id, null]);
  const gone = await ask(first.token, `/tokens/${second.id}`, 'DELETE');
  expect([gone.status, (await gone.json()).revoked]).toEqual([200, expect.any(String)]);
  await expectRefused(second.token, /revoked/);
});

it("another's token is as unknown as none at all, but to an admin", async () => {
  const joes = await createToken(owner, { user: 'joe' });
  const { token } = await createToken(owner, { user: 'ann', roles: ['coordinator'] });
  const [forbidden, unknown] = [
    await ask(token, `/tokens/${joes.id}`, 'DELETE'),
    await ask(token, '/tokens/99999', 'DELETE'),
  ];
  expect([forbidden.status, unknown.status]).toEqual([404, 404]);
  expect((await forbidden.json()).detail.replace(String(joes.id), '99999')).toBe((await unknown.json()).detail);
  expect((await ask(token, '/tokens?user=joe')).status).toBe(403);
  expect((await ask(joes.token, '/me')).status).toBe(200);
  expect((await server.ask(`/tokens/${joes.id}`, { method: 'DELETE' })).status).toBe(200);
});

it('users are listed to an admin, in pages', async () => {
  const names: string[] = [];
  let cursor = '';
  do {
    const page = await (await server.ask(`/users?limit=2&cursor=${cursor}`)).json();
    names.push(...page.items.map(({ name }: { name: string }) => name));
    cursor = page.next;
  } while (cursor !== null);
  expect(names).toEqual(['ann', 'bob', 'joe', 'sue']);
  for (const bad of ['cursor=x', 'limit=0', 'user=joe']) {
    expect([400, 422]).toContain((await server.ask(`/users?${bad}`)).status);
  }
});
