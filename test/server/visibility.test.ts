import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { addUser, createToken, disableUser, grantRole, revokeRole } from '#libs/access';
import { Database } from '#libs/database';
import { type Change, defineResource } from '#libs/journal';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Answer, type TestServer, testServer } from './server-fixture.ts';
import { readEvents } from './sse.ts';

let database: TestDatabase;
let owner: Database;
let server: TestServer;
let alpha: Record<string, string>;
let viewer: Record<string, string>;
let start: string;

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl });
  await owner.query(`
    CREATE TABLE plate (id int PRIMARY KEY, project_id text, title text);
    CREATE TABLE secret (id int PRIMARY KEY, title text);
    SELECT tidemark.journal_table('plate', row_version => true);
    SELECT tidemark.journal_table('secret', row_version => true);
    GRANT SELECT, INSERT, UPDATE, DELETE ON plate, secret TO tidemark_app`);
  server = await testServer(
    database.url,
    {},
    {
      resources: [defineResource({ name: 'plate', project: 'project_id' }), defineResource({ name: 'secret' })],
      permissions: { secret: { read: ['admin', 'see secrets'] } },
    },
  );
  await addUser(owner, { name: 'ann' });
  await grantRole(owner, { user: 'ann', role: 'viewer', project: 'alpha' });
  alpha = await bearer('ann');
  await addUser(owner, { name: 'joe', roles: ['viewer'] });
  viewer = await bearer('joe');
  start = (await read('after=now', viewer)).cursor;
  await owner.query(`INSERT INTO plate (id, project_id, title) VALUES (1, 'alpha', 'one'), (2, 'beta', 'two')`);
  await owner.query(`UPDATE plate SET title = title || '!'`);
  await owner.query(`UPDATE plate SET project_id = 'beta' WHERE id = 1`);
  await owner.query(`UPDATE plate SET title = title || '!'`);
  await owner.query(`INSERT INTO secret (id, title) VALUES (1, 'hidden')`);
  await server.put('Page', 'text');
});
afterAll(async () => {
  await server?.close();
  await owner?.close();
  await database?.drop();
});

async function bearer(user: string): Promise<Record<string, string>> {
  return { authorization: `Bearer ${(await createToken(owner, { user })).token}` };
}

function ask(path: string, headers: Record<string, string>): Promise<Answer> {
  return server.ask(path, { headers });
}

async function read(query: string, headers: Record<string, string>): Promise<{ changes: Change[]; cursor: string }> {
  const answer = await ask(`/journal?${query}`, headers);
  expect(answer.status).toBe(200);
  return answer.json();
}

const lines = (changes: readonly Change[]) => changes.map(({ change, resource, id }) => `${change} ${resource} ${id}`);

it('the journal shows each caller what it may read, and its cursor passes over the rest', async () => {
  const mine = ['CREATE plate 1', 'MODIFY plate 1', 'MODIFY plate 1'];
  const all = await read(`after=${start}&limit=500`, alpha);
  expect(lines(all.changes)).toEqual(mine);
  expect((await read(`after=${all.cursor}`, alpha)).changes).toEqual([]);
  // a page at a time, and with the cursor of another reader
  const seen: string[] = [];
  let cursor = start;
  for (let n = 0; n < 4; n++) {
    const page = await read(`after=${cursor}&limit=1`, alpha);
    seen.push(...lines(page.changes));
    cursor = page.cursor;
  }
  expect(seen).toEqual(mine);
  const first = await read(`after=${start}&limit=1`, viewer);
  expect(lines((await read(`after=${first.cursor}`, alpha)).changes)).toEqual(mine.slice(1));
  const rest = lines((await read(`after=${start}&limit=500`, viewer)).changes);
  expect([rest.length, rest.includes('CREATE secret 1'), rest.at(-1)]).toEqual([8, false, 'CREATE wiki 1']);
});

it('what may not be read is as unknown as what does not exist', async () => {
  const everything = (await (await server.ask(`/journal?after=${start}&limit=500`)).json()).changes as Change[];
  const hidden = everything.find(({ resource }) => resource === 'secret')?.tid;
  for (const headers of [alpha, viewer]) {
    const [forbidden, unknown] = [await ask(`/journal/${hidden}`, headers), await ask('/journal/1', headers)];
    expect([forbidden.status, unknown.status]).toEqual([404, 404]);
    expect((await forbidden.json()).detail.replace(String(hidden), '1')).toBe((await unknown.json()).detail);
    for (const path of ['/journal', '/journal/stream']) {
      const answers = [await ask(`${path}?resource=secret`, headers), await ask(`${path}?resource=nothing`, headers)];
      expect(answers.map(({ status }) => status)).toEqual([422, 422]);
      const [one, other] = await Promise.all(answers.map((answer) => answer.json()));
      expect(JSON.stringify(one).replaceAll('secret', 'nothing')).toBe(JSON.stringify(other));
    }
  }
  expect((await ask('/wiki/Page', alpha)).status).toBe(403);
  const both = everything.find(({ resource, id }) => resource === 'plate' && id === '2')?.tid;
  expect(lines((await (await ask(`/journal/${both}`, alpha)).json()).changes)).toEqual(['CREATE plate 1']);
});

it('a search for what may be read gives up after a while, with a cursor that has come further', async () => {
  const { cursor } = await read('after=now', alpha);
  await owner.query(`INSERT INTO plate (id, project_id) SELECT n, 'beta' FROM generate_series(1001, 26000) n`);
  await owner.query(`INSERT INTO plate (id, project_id) VALUES (4, 'alpha')`);
  const first = await read(`after=${cursor}`, alpha);
  expect([first.changes.length, first.cursor === cursor]).toEqual([0, false]);
  expect(lines((await read(`after=${first.cursor}`, alpha)).changes)).toEqual(['CREATE plate 4']);
  expect(lines((await read(`after=${cursor}&wait=5`, alpha)).changes)).toEqual(['CREATE plate 4']);
}, 30_000);

it('a long poll is not ended by what its caller may not read', async () => {
  const { cursor } = await read('after=now', alpha);
  const polled = read(`after=${cursor}&wait=30`, alpha);
  for (let n = 0; n < 5; n++) await server.put(`Noise${n}`, 'text');
  await owner.query(`UPDATE plate SET title = 'noise' WHERE id = 2`);
  await owner.query(`INSERT INTO plate (id, project_id, title) VALUES (3, 'alpha', 'signal')`);
  expect(lines((await polled).changes)).toEqual(['CREATE plate 3']);
  const passed = await read(`after=${cursor}&wait=1`, alpha);
  await server.put('Noise', 'text');
  const waited = await read(`after=${passed.cursor}&wait=1`, alpha);
  expect(waited.changes).toEqual([]);
  expect(waited.cursor).not.toBe(passed.cursor);
});

it('a stream sends each client what it may read, and goes by a role that is granted meanwhile', async () => {
  const streams = await Promise.all(
    [alpha, viewer].map(async (headers) => {
      const answer = await ask('/journal/stream', headers);
      return readEvents(answer.body as ReadableStream<Uint8Array>);
    }),
  );
  const [mine, joes] = streams as [(typeof streams)[0], (typeof streams)[0]];
  const next = async (stream: typeof mine) => lines([JSON.parse(String((await stream.next())?.data)) as Change])[0];
  await owner.query(`INSERT INTO secret (id, title) VALUES (2, 'hidden')`);
  await owner.query(`UPDATE plate SET title = 'b' WHERE id = 2`);
  await owner.query(`UPDATE plate SET project_id = 'alpha' WHERE id = 2`);
  await owner.query(`DELETE FROM plate WHERE id = 2`);
  expect([await next(mine), await next(mine)]).toEqual(['MODIFY plate 2', 'DELETE plate 2']);
  expect([await next(joes), await next(joes), await next(joes)]).toEqual([
    ...['MODIFY plate 2', 'MODIFY plate 2', 'DELETE plate 2'],
  ]);

  await grantRole(owner, { user: 'ann', role: 'viewer', project: 'beta' });
  await waitUntil(async () => 'beta' in (await (await ask('/me', alpha)).json()).projects, 'the role counts');
  // a stream asks once a second what its client may read
  let seen: string | undefined;
  const shown = next(mine).then((line) => {
    seen = line;
  });
  await waitUntil(async () => {
    await owner.query(`UPDATE plate SET title = gen_random_uuid() WHERE id = 1`);
    return seen !== undefined;
  }, 'the change is shown');
  await shown;
  expect(seen).toBe('MODIFY plate 1');
  await revokeRole(owner, { user: 'ann', role: 'viewer', project: 'beta' });
  await Promise.all(streams.map((stream) => stream.cancel()));
}, 30_000);

it('a stream is ended when its token is not valid any more', async () => {
  await addUser(owner, { name: 'eve', roles: ['viewer'] });
  const headers = await bearer('eve');
  const stream = await readEvents((await ask('/journal/stream', headers)).body as ReadableStream<Uint8Array>);
  await server.put('Before', 'text');
  expect((await stream.next())?.event).toBe('wiki.created');
  await disableUser(owner, 'eve');
  await waitUntil(async () => (await ask('/me', headers)).status === 401, 'the user is refused');
  await server.put('After', 'text');
  expect((await stream.next())?.event).toBe('reconnect');
  expect(await stream.next()).toBeUndefined();
}, 30_000);
