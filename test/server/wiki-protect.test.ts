import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createToken } from '#libs/access';
import { Database } from '#libs/database';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Answer, type TestServer, testServer } from './server-fixture.ts';

let database: TestDatabase;
let owner: Database;
let server: TestServer;
let authorization: string;

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 3 });
  server = await testServer(database.url);
  authorization = `Bearer ${(await createToken(owner, { user: 'ed', roles: ['editor'] })).token}`;
});
afterAll(async () => {
  await server?.close();
  await owner?.close();
  await database?.drop();
});

const asEditor = (method: string, path: string, body: object = {}): Promise<Answer> =>
  server.send(method, path, body, { authorization });

async function waiting(): Promise<boolean> {
  const { rows } = await owner.query(`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1`, [
    database.name,
  ]);
  return rows.length > 0;
}

it('an editor changes what is not readonly, and says so of readonly too', async () => {
  await server.put('Free', 'one');
  expect((await asEditor('PUT', '/wiki/Free', { text: 'two', readonly: false })).status).toBe(200);
  const refused = await asEditor('PUT', '/wiki/Free', { text: 'three', readonly: true });
  expect([refused.status, (await refused.json()).detail]).toEqual([
    ...[403, 'page "Free": making it readonly needs the permission wiki:protect'],
  ]);
  expect(await (await server.ask('/wiki/Free')).json()).toMatchObject({ text: 'two', readonly: false });
});

it.each([
  ['PUT', '/wiki/%', { text: 'changed' }],
  ['PUT', '/wiki/%', { text: 'one', readonly: false }],
  ['DELETE', '/wiki/%', {}],
  ['POST', '/wiki/%/rename', { to: 'Elsewhere' }],
])('a page made readonly while an editor waits for it is not changed by %s %s %j', async (method, path, body) => {
  const name = `Race${method}${Object.keys(body).length}`;
  await server.put(name, 'one');
  const keeper = await owner.connect();
  await keeper.query('BEGIN');
  await keeper.query('UPDATE wiki SET readonly = true WHERE name = $1', [name]);
  const asked = asEditor(method, path.replace('%', name), body);
  await waitUntil(waiting, 'the editor waits for the page');
  await keeper.query('COMMIT');
  keeper.release();
  const answer = await asked;
  expect([answer.status, (await answer.json()).detail]).toEqual([
    ...[403, `page "${name}": it is readonly, changing it needs the permission wiki:protect`],
  ]);
  expect(await (await server.ask(`/wiki/${name}`)).json()).toMatchObject({ text: 'one', readonly: true });
});

it('the same with an Idempotency-Key, and nothing is kept of it', async () => {
  await server.send('PUT', '/wiki/Keyed', { text: 'one', readonly: true });
  const headers = { authorization, 'idempotency-key': 'k1' };
  expect((await server.send('PUT', '/wiki/Keyed', { text: 'two' }, headers)).status).toBe(403);
  await server.send('PUT', '/wiki/Keyed', { text: 'one', readonly: false });
  expect((await server.send('PUT', '/wiki/Keyed', { text: 'two' }, headers)).status).toBe(200);
});
