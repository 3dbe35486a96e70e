import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createToken } from '#libs/access';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { type Answer, type TestServer, testServer } from './server-fixture.ts';

const URL_ = 'https://hooks.example.org/tidemark';
const filter = { resources: ['wiki'], fields: null, project: null };

let database: TestDatabase;
let server: TestServer;
const viewer: Record<string, string> = {};

beforeAll(async () => {
  database = await testDatabase();
  server = await testServer(database.url);
  const { token } = await createToken(server.database, { user: 'viewer', roles: ['coordinator'] });
  viewer['authorization'] = `Bearer ${token}`;
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const post = (body: object = { url: URL_, filter: { resources: ['wiki'] } }, headers = {}): Promise<Answer> =>
  server.send('POST', '/webhooks', body, headers);
const made = async (body?: object) => (await post(body)).json();
const rotate = (id: string, body: object = {}, headers = {}) =>
  server.send('POST', `/webhooks/${id}/rotate`, body, headers);
const get = async (path: string) => (await server.ask(path)).json();
const remove = (id: string, headers = {}) => server.ask(`/webhooks/${id}`, { method: 'DELETE', headers });

describe('a webhook', () => {
  it('is added, read, listed, changed and deleted, each a change in the journal', async () => {
    const answer = await post({ url: URL_, description: 'tells the chat', filter: { resources: ['wiki', 'wiki'] } });
    const { secret, ...webhook } = await answer.json();
    const { id } = webhook;
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe(`/webhooks/${id}`);
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(webhook).toEqual({
      ...{ id: expect.any(String), url: URL_, description: 'tells the chat', filter, enabled: true },
      listener: `webhook-${id}`,
      secrets: [{ number: 1, created: expect.any(String), expires: null }],
    });
    expect(await get(`/webhooks/${id}`)).toEqual(webhook);
    expect((await get('/webhooks')).items).toContainEqual(webhook);

    const patched = await server.send('PATCH', `/webhooks/${id}`, {
      enabled: false,
      filter: { resources: ['ticket'] },
    });
    expect(await patched.json()).toMatchObject({
      enabled: false,
      filter: { ...filter, resources: ['ticket'] },
      url: URL_,
    });
    const same = await server.send('PATCH', `/webhooks/${id}`, {});
    expect([same.status, same.headers.get('tidemark-tid')]).toEqual([200, null]);
    expect(await (await remove(id)).json()).toEqual({ id, tid: expect.any(Number), effects: 0 });
    expect((await server.ask(`/webhooks/${id}`)).status).toBe(404);
    const { items } = await get(`/webhooks/${id}/history`);
    expect(items.map(({ change }: { change: string }) => change)).toEqual(['DELETE', 'MODIFY', 'CREATE']);
    expect(items[1].fields.enabled).toEqual({ old: true, new: false });
  });

  it('is listed in pages', async () => {
    const ids = [(await made()).id, (await made()).id, (await made()).id];
    const found: string[] = [];
    for (let cursor = ''; cursor !== null; ) {
      const page = await get(`/webhooks?limit=2&cursor=${cursor}`);
      found.push(...page.items.map(({ id }: { id: string }) => id));
      cursor = page.next;
    }
    expect(found.slice(-3)).toEqual(ids);
    for (const id of ids) await remove(id);
  });

  it('has a listener as long as it is there', async () => {
    const { id } = await made();
    const named = async () => (await get('/listeners')).items.map(({ listener }: { listener: string }) => listener);
    expect(await named()).toContain(`webhook-${id}`);
    await remove(id);
    expect(await named()).not.toContain(`webhook-${id}`);
  });

  it('is changed only as it was read', async () => {
    const answer = await post();
    const { id } = await answer.json();
    const tag = answer.headers.get('etag') as string;
    expect((await server.ask(`/webhooks/${id}`, { headers: { 'if-none-match': tag } })).status).toBe(304);
    const rotated = await rotate(id, {}, { 'if-match': tag });
    expect([rotated.status, rotated.headers.get('etag') === tag]).toEqual([200, false]);
    const stale = [
      await rotate(id, {}, { 'if-match': tag }),
      await server.send('PATCH', `/webhooks/${id}`, { enabled: false }, { 'if-match': tag }),
      await remove(id, { 'if-match': tag }),
      await post(undefined, { 'if-match': '*' }),
    ];
    expect(stale.map(({ status }) => status)).toEqual([412, 412, 412, 412]);
    expect(await get(`/webhooks/${id}`)).toMatchObject({ enabled: true, secrets: [{ number: 2 }, { number: 1 }] });
    expect((await remove(id, { 'if-match': rotated.headers.get('etag') as string })).status).toBe(200);
  });

  it('is added once for each Idempotency-Key, and the answer told again', async () => {
    const ask = () => post(undefined, { 'idempotency-key': 'add-one' });
    const [first, again] = [await ask(), await ask()];
    const body = await first.json();
    expect([again.status, again.headers.get('idempotency-replayed'), await again.json()]).toEqual([201, 'true', body]);
    await remove(body.id);
  });
});

describe('the secret of a webhook', () => {
  it('is shown on creation and on rotation, and nowhere else', async () => {
    const { id, secret } = await made();
    const { secret: fresh } = await (await rotate(id)).json();
    expect(fresh).toMatch(/^whsec_/);
    expect(fresh).not.toBe(secret);
    const texts = [
      ...[`/webhooks/${id}`, '/webhooks?limit=500', `/webhooks/${id}/history`, '/journal?resource=webhook'],
      ...['/journal?limit=500', '/listeners', '/effects', '/status', '/metrics'],
    ].map(async (path) => (await server.ask(path)).text());
    const { rows } = await server.database.query(`SELECT j::text AS text FROM tidemark.journal j
      UNION ALL SELECT h::text FROM tidemark.history h`);
    const all = [...(await Promise.all(texts)), ...rows.map(({ text }) => text), JSON.stringify(server.lines)].join();
    expect(all).toContain('webhook');
    expect(all).not.toContain('whsec_');
    expect(all).not.toContain(secret.slice(6));
    await remove(id);
    const left = await server.database.query('SELECT FROM webhook_secret WHERE webhook_id = $1', [id]);
    expect(left.rowCount).toBe(0);
  });

  it('that was rotated signs for a day more, or for as long as was asked', async () => {
    const { id } = await made();
    const ends = async () => {
      const { secrets } = await get(`/webhooks/${id}`);
      return secrets.map(({ number, expires }: { number: number; expires: string | null }) => [
        number,
        expires === null ? null : Math.round((Date.parse(expires) - Date.now()) / 3_600_000),
      ]);
    };
    await rotate(id);
    expect(await ends()).toEqual([
      [2, null],
      [1, 24],
    ]);
    // one that ends sooner is not given more time
    await rotate(id, { overlap: 7 * 86_400 });
    expect(await ends()).toEqual([
      [3, null],
      [2, 168],
      [1, 24],
    ]);
    await rotate(id, { overlap: 0 });
    expect(await ends()).toEqual([[4, null]]);
    await remove(id);
  });

  it('that many rotate at once leaves each of them one of its own', async () => {
    const { id, secret } = await made();
    const answers = await Promise.all(Array.from({ length: 8 }, async () => (await rotate(id)).json()));
    const secrets = new Set([secret, ...answers.map((answer) => answer.secret)]);
    const { rows } = await server.database.query('SELECT secret FROM webhook_secret WHERE webhook_id = $1', [id]);
    expect(new Set(rows.map((row) => row['secret']))).toEqual(secrets);
    expect(secrets.size).toBe(9);
    await remove(id);
  });
});

describe('webhooks are for admins:', () => {
  it('others see none, and no change of one', async () => {
    const { id } = await made();
    const asked = [
      ...['/webhooks', `/webhooks/${id}`, `/webhooks/${id}/history`].map((path) =>
        server.ask(path, { headers: viewer }),
      ),
      server.send('POST', '/webhooks', { url: URL_, filter: { resources: ['wiki'] } }, viewer),
      server.send('PATCH', `/webhooks/${id}`, { enabled: false }, viewer),
      server.send('POST', `/webhooks/${id}/rotate`, {}, viewer),
      server.ask(`/webhooks/${id}`, { method: 'DELETE', headers: viewer }),
    ];
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([403, 403, 403, 403, 403, 403, 403]);
    const { changes } = await (await server.ask('/journal?limit=500', { headers: viewer })).json();
    expect(changes.filter(({ resource }: { resource: string }) => resource === 'webhook')).toEqual([]);
    expect((await server.ask(`/webhooks/${id}`)).status).toBe(200);
    await remove(id);
  });
});

describe('bad input', () => {
  const resources = ['wiki'];

  it.each<[object, string, RegExp]>([
    [{ filter: { resources } }, 'url', /is missing: must be text/],
    [{ url: URL_ }, 'filter', /is missing: must be a JSON object/],
    [{ url: 'hooks.example.org', filter: { resources } }, 'url', /must be a URL with http:/],
    [{ url: 'ftp://hooks.example.org', filter: { resources } }, 'url', /must be a URL with http:/],
    [
      { url: 'https://joe:secret@example.org', filter: { resources } },
      'url',
      /must not hold a user name or a password/,
    ],
    [{ url: 'https://example.org/#a', filter: { resources } }, 'url', /must not have a fragment/],
    [{ url: `https://example.org/${'a'.repeat(2_000)}`, filter: { resources } }, 'url', /must not exceed 2000/],
    [{ url: 'http://127.0.0.1:3000/', filter: { resources } }, 'url', /127\.0\.0\.1 is not on the public internet/],
    [{ url: 'http://[::ffff:10.0.0.1]/', filter: { resources } }, 'url', /is not on the public internet/],
    [{ url: 'http://localhost/', filter: { resources } }, 'url', /localhost is not on the public internet/],
    [{ url: 'http://169.254.169.254/latest', filter: { resources } }, 'url', /is not on the public internet/],
    [{ url: URL_, filter: { resources: [] } }, 'filter.resources', /must name one at least/],
    [
      { url: URL_, filter: { resources: ['wikis'] } },
      'filter.resources.0',
      /must be one of wiki, ticket, ticket_comment/,
    ],
    [{ url: URL_, filter: { resources: ['wiki', 'webhook'] } }, 'filter.resources.1', /must be one of/],
    [{ url: URL_, filter: { resources, fields: [] } }, 'filter.fields', /must name one at least/],
    [{ url: URL_, filter: { resources, fields: ['a\0b'] } }, 'filter.fields.0', /NUL/],
    [{ url: URL_, filter: { resources, project: 'gate' } }, 'filter.project', /rows of wiki have no project/],
    [{ url: URL_, filter: { resources, field: ['text'] } }, 'filter.field', /is not known here/],
    [{ url: URL_, filter: { resources }, description: 'a\0' }, 'description', /NUL/],
    [{ url: URL_, filter: { resources }, description: 'a'.repeat(1_001) }, 'description', /must not exceed 1000/],
    [{ url: URL_, filter: { resources }, enabled: 'yes' }, 'enabled', /must be true or false/],
    [{ url: URL_, filter: { resources }, secret: 'whsec_mine' }, 'secret', /is not known here/],
  ])('%j is refused for its %s', async (body, path, message) => {
    const before = await server.database.query('SELECT max(tid) AS head FROM tidemark.journal');
    const answer = await post(body);
    const { errors } = await answer.json();
    expect([answer.status, errors]).toEqual([422, [{ path, message: expect.stringMatching(message) }]]);
    expect((await server.database.query('SELECT max(tid) AS head FROM tidemark.journal')).rows).toEqual(before.rows);
  });

  it('everything that is wrong is told at once', async () => {
    const answer = await post({ url: 'x', filter: { resources: ['x', 'wiki', 'y'], fields: [] } });
    const { errors } = await answer.json();
    const paths = errors.map(({ path }: { path: string }) => path);
    expect(paths).toEqual(['url', 'filter.resources.0', 'filter.resources.2', 'filter.fields']);
  });

  it.each([
    ['GET', '/webhooks/0', undefined, 404],
    ['GET', '/webhooks/x', undefined, 404],
    ['GET', '/webhooks/99999999999999999999', undefined, 404],
    ['GET', '/webhooks/999999/history', undefined, 404],
    ['GET', '/webhooks?cursor=nonsense', undefined, 400],
    ['PATCH', '/webhooks/999999', { enabled: false }, 404],
    ['POST', '/webhooks/999999/rotate', {}, 404],
    ['POST', '/webhooks/999999/rotate', { overlap: -1 }, 422],
    ['POST', '/webhooks/999999/rotate', { overlap: 31 * 86_400 }, 422],
    ['DELETE', '/webhooks/999999', undefined, 404],
  ])('%s %s %j is refused', async (method, path, body, status) => {
    const answer = body === undefined ? await server.ask(path, { method }) : await server.send(method, path, body);
    expect(answer.status).toBe(status);
  });
});
