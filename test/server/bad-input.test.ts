import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createToken } from '#libs/access';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { raw } from './raw.ts';
import { type Answer, type TestServer, TOKEN, testServer } from './server-fixture.ts';

let database: TestDatabase;
let other: TestDatabase;
let server: TestServer;

beforeAll(async () => {
  [database, other] = await Promise.all([testDatabase(), testDatabase()]);
  server = await testServer(database.url);
  await server.put('There', 'text');
});
afterAll(async () => {
  await server?.close();
  await Promise.all([database?.drop(), other?.drop()]);
});

async function expectProblem(answer: Answer, status: number, code: string, detail: RegExp) {
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  const problem = await answer.json();
  expect(problem).toMatchObject({ type: 'about:blank', status, code, title: expect.any(String) });
  expect(problem.detail).toMatch(detail);
  expect(answer.status).toBe(status);
  return problem;
}

function putRaw(body: string | Buffer, headers: Record<string, string> = {}, name = 'Bad'): Promise<Answer> {
  const all = { 'content-type': 'application/json', ...headers };
  return server.ask(`/wiki/${name}`, { method: 'PUT', body, headers: all });
}

describe('tokens', () => {
  it.each([
    [undefined, /a token is needed/],
    ['Bearer wrong', /is not a token/],
    [`Bearer ${TOKEN}x`, /is not a token/],
    [`Bearer tdm_${'A'.repeat(43)}`, /the token tdm_AAAAAAAA… is not known here/],
    [`Bearer ${'x'.repeat(10_000)}`, /is not a token/],
    ['Bearer tökén', /not of the form/],
    ['Bearer', /not of the form/],
    [`Basic ${TOKEN}`, /not of the form/],
    ['Bearer a b', /not of the form/],
  ])('the Authorization header %j is refused with 401', async (authorization, detail) => {
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    for (const path of ['/wiki/There', '/wiki', '/journal', '/journal/stream', '/status']) {
      const answer = await fetch(`${server.url}${path}`, { headers });
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
      await expectProblem(answer, 401, 'unauthenticated', detail);
    }
  });

  it('the status is for admins', async () => {
    const { token } = await createToken(server.database, { user: 'reader', roles: ['viewer'] });
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(`${server.url}/wiki/There`, { headers })).status).toBe(200);
    await expectProblem(await fetch(`${server.url}/status`, { headers }), 403, 'forbidden', /permission status:read/);
  });

  it('a body without a token is refused before it is read', async () => {
    const answer = await fetch(`${server.url}/wiki/X`, {
      method: 'PUT',
      body: '{"text',
      headers: { 'content-type': 'application/json' },
    });
    await expectProblem(answer, 401, 'unauthenticated', /token/);
  });

  it('health needs no token', async () => {
    expect(await (await fetch(`${server.url}/health/live`)).json()).toEqual({ status: 'live' });
    expect(await (await fetch(`${server.url}/health/ready`)).json()).toEqual({ status: 'ready' });
  });
});

describe('bodies', () => {
  it.each([
    ['truncated JSON', '{"text": "a', 400, 'malformed', /not JSON: .* position 11/],
    ['an empty body', '', 400, 'malformed', /empty/],
    ['no JSON at all', 'hello', 400, 'malformed', /not JSON/],
    ['two documents', '{"text":"a"}{"text":"b"}', 400, 'malformed', /not JSON/],
    ['bytes that are not UTF-8', Buffer.from('7b2274657874223a22ff227d', 'hex'), 400, 'malformed', /not UTF-8/],
    ['10 MB of nested arrays', '['.repeat(10_000_000), 400, 'malformed', /nested deeper/],
    ['10 MB of nested objects', '{"a":'.repeat(2_000_000), 400, 'malformed', /nested deeper/],
    ['a hidden prototype', '{"text":"a","\\u005f_proto__":{"x":1}}', 400, 'malformed', /__proto__/],
    ['a prototype', '{"text":"a","__proto__":{"x":1}}', 400, 'malformed', /__proto__/],
    ['a field that is there twice', '{"text":"a","text":"b"}', 400, 'malformed', /the field "text" twice/],
    ['a list', '[]', 422, 'invalid', /must be a JSON object, not a list/],
    ['null', 'null', 422, 'invalid', /object/],
    ['no text', '{}', 422, 'invalid', /text: is missing/],
    ['a number as text', '{"text":1}', 422, 'invalid', /text: must be text, not a number/],
    ['a word as readonly', '{"text":"a","readonly":"yes"}', 422, 'invalid', /readonly: /],
    ['an unknown field', '{"text":"a","txet":"b"}', 422, 'invalid', /txet: .* known are text, comment, readonly/],
    ['NUL in the text', '{"text":"a\\u0000b"}', 422, 'invalid', /NUL/],
    ['half a surrogate pair', '{"text":"\\ud800"}', 422, 'invalid', /surrogate/],
    ['half a surrogate pair in the comment', '{"text":"a","comment":"\\udc00"}', 422, 'invalid', /surrogate/],
    ['a text above 5 MB', JSON.stringify({ text: 'x'.repeat(5 * 1024 * 1024 + 1) }), 413, 'too_large', /5242880 bytes/],
    ['a text above 5 MB in UTF-8 only', JSON.stringify({ text: '漢'.repeat(1_800_000) }), 413, 'too_large', /bytes/],
    ['a body above any limit', `"${'x'.repeat(33_000_000)}"`, 413, 'too_large', /too large/],
  ])('%s is refused and changes nothing', async (_, body, status, code, detail) => {
    await expectProblem(await putRaw(body), status, code, detail);
    expect((await server.ask('/wiki/Bad')).status).toBe(404);
  });

  it('errors of fields carry their paths', async () => {
    const problem = await expectProblem(await putRaw('{"readonly":1}'), 422, 'invalid', /text/);
    expect(problem.errors.map((error: { path: string }) => error.path)).toEqual(['text', 'readonly']);
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'nonsense', 'application/xml'])(
    'the content type %s is refused with 415',
    async (type) => {
      await expectProblem(
        await putRaw('{"text":"a"}', { 'content-type': type }),
        415,
        'unsupported_media_type',
        /must be JSON/,
      );
    },
  );

  it('a body that is missing altogether is refused', async () => {
    const answer = await server.ask('/wiki/Bad', { method: 'PUT' });
    await expectProblem(answer, 400, 'malformed', /body/);
    await expectProblem(await server.ask('/wiki/There/rename', { method: 'POST' }), 400, 'malformed', /body/);
  });

  it('a text of exactly 5 MB is kept, also when every byte of it is escaped', async () => {
    const text = '\u0001'.repeat(5 * 1024 * 1024);
    const answer = await putRaw(JSON.stringify({ text }), {}, 'Large');
    expect(answer.status).toBe(201);
    expect((await (await server.ask('/wiki/Large')).json()).text === text).toBe(true);
  });

  it('a delete with an empty JSON body is a delete', async () => {
    await server.put('Gone', 'text');
    const answer = await server.ask('/wiki/Gone', {
      method: 'DELETE',
      headers: { 'content-type': 'application/json' },
    });
    expect(answer.status).toBe(200);
  });
});

describe('page names', () => {
  it.each([
    ['a%2F..%2Fb', /segment/],
    ['.%2Fb', /segment/],
    ['%2Fa', /slash/],
    ['a%2F', /slash/],
    ['a%2F%2Fb', /slash/],
    ['a%00b', /NUL/],
    ['x'.repeat(501), /500 characters/],
    ['%F0%9F%98%80'.repeat(501), /500 characters/],
  ])('the name %.20s is refused with 422 on every route', async (name, detail) => {
    const path = `/wiki/${name}`;
    const answers = [
      await server.ask(path),
      await server.ask(path, { method: 'DELETE' }),
      await server.ask(`${path}/history`),
      await server.send('PUT', path, { text: 'a' }),
      await server.send('POST', `${path}/rename`, { to: 'b' }),
    ];
    for (const answer of answers) await expectProblem(answer, 422, 'invalid', detail);
  });

  it('an empty name is refused with 422', async () => {
    await expectProblem(await server.send('PUT', '/wiki/', { text: 'a' }), 422, 'invalid', /empty/);
    await expectProblem(await server.ask('/wiki//history'), 422, 'invalid', /empty/);
  });

  it('a name of 500 characters of four bytes each is possible', async () => {
    expect((await server.put('😀'.repeat(500), 'text')).status).toBe(201);
  });

  it('a slash that is not encoded is 404 with a hint', async () => {
    await expectProblem(await server.ask('/wiki/a/b/c'), 404, 'not_found', /%2F/);
  });
});

describe('queries and headers', () => {
  it.each([
    ['/wiki?limit=0', /limit: .* 1 to 500/],
    ['/wiki?limit=501', /limit/],
    ['/wiki?limit=1e2', /limit/],
    ['/wiki?limit=1&limit=2', /limit/],
    ['/wiki?prefx=a', /prefx/],
    ['/wiki?sort=name', /sort: is not known here; known are limit, cursor, prefix/],
    ['/me?limit=1', /takes no query parameters: limit/],
    ['/wiki/There?version=0', /version/],
    ['/wiki/There?version=x', /version/],
    ['/wiki/There?version=99999999999', /version/],
    ['/wiki/There?version=1&as_of=1', /not both/],
    ['/journal?wait=31', /wait/],
    ['/journal?wait=-1', /wait/],
    ['/journal?resource=nothing', /nothing is journaled/],
    ['/journal?resource=a%00b', /nothing is journaled/],
    ['/journal/stream?resource=nothing', /nothing is journaled/],
  ])('%s is refused with 422', async (path, detail) => {
    await expectProblem(await server.ask(path), 422, 'invalid', detail);
  });

  it.each([
    ['/wiki?cursor=garbage', /cursor/],
    ['/wiki?cursor=%00', /cursor/],
    ['/journal?after=garbage', /cursor/],
    ['/journal/stream?after=garbage', /cursor/],
    ['/wiki/There/history?cursor=garbage', /cursor/],
    ['/wiki/There?as_of=yesterday', /as_of/],
    ['/journal/abc', /not a tid/],
    ['/journal/-1', /not a tid/],
  ])('%s is refused with 400', async (path, detail) => {
    await expectProblem(await server.ask(path), 400, 'malformed', detail);
  });

  it.each([
    ['/wiki/Missing', /no page is named "Missing"/],
    ['/wiki/Missing/history', /was ever named/],
    ['/wiki/There?version=2', /no version 2/],
    ['/wiki/There?as_of=2999-01-01T00:00:00Z', /in the future/],
    ['/wiki/There?as_of=999999999', /in the future/],
    ['/wiki/There?as_of=1999-01-01T00:00:00Z', /before the beginning/],
    ['/wiki/There?as_of=0', /before the beginning/],
    ['/journal/999999999', /no change has the tid/],
    ['/nothing', /nothing at this path/],
  ])('%s is 404 with a sentence', async (path, detail) => {
    await expectProblem(await server.ask(path), 404, 'not_found', detail);
  });

  it('a cursor of another database, and one ahead of the journal, are refused with 400', async () => {
    const foreign = await testServer(other.url);
    await foreign.put('There', 'text');
    await foreign.put('Two', 'text');
    const { cursor } = await (await foreign.ask('/journal')).json();
    const { tid } = await (await foreign.ask('/wiki/Two')).json();
    const { next } = await (
      await foreign.ask('/wiki?limit=1', { headers: { 'tidemark-wait-for': String(tid) } })
    ).json();
    await foreign.close();
    await expectProblem(await server.ask(`/journal?after=${cursor}`), 400, 'malformed', /another database/);
    await expectProblem(await server.ask(`/wiki?cursor=${next}`), 400, 'malformed', /another database/);
    const resumed = await server.ask('/journal/stream', { headers: { 'last-event-id': cursor } });
    await expectProblem(resumed, 400, 'malformed', /another database/);

    const [epoch] = JSON.parse(
      Buffer.from((await (await server.ask('/journal')).json()).cursor, 'base64url').toString(),
    );
    const ahead = Buffer.from(JSON.stringify([epoch, 999_999_999])).toString('base64url');
    await expectProblem(await server.ask(`/journal?after=${ahead}`), 400, 'malformed', /ahead/);
  });

  it.each([
    ['/webhooks', 18],
    ['/data-consistency/propagations', 18],
    ['/findings', 15],
    ['/tokens', 15],
  ])('a cursor of %s is a number of %i digits at most', async (path, digits) => {
    const [epoch] = JSON.parse(
      Buffer.from((await (await server.ask('/journal')).json()).cursor, 'base64url').toString(),
    );
    const at = (name: string) =>
      server.ask(`${path}?cursor=${Buffer.from(JSON.stringify([epoch, name])).toString('base64url')}`);
    expect((await at('9'.repeat(digits))).status).toBe(200);
    for (const name of ['', '-5', '1e3', '1.5', ' 1', 'There', '9'.repeat(digits + 1)]) {
      await expectProblem(await at(name), 400, 'malformed', /^the cursor is one of another list$/);
    }
  });

  it.each([
    [{ 'tidemark-wait-for': 'x' }, 400, 'malformed', /Wait-For/],
    [{ 'tidemark-wait-for': '-1' }, 400, 'malformed', /Wait-For/],
    [{ 'tidemark-wait-for': '1, 2' }, 400, 'malformed', /Wait-For/],
    [{ 'tidemark-wait-for': '999999999' }, 400, 'malformed', /beyond/],
    [{ 'tidemark-wait-for': '1', 'tidemark-wait-timeout': '31' }, 400, 'malformed', /Wait-Timeout/],
    [{ 'tidemark-wait-for': '1', 'tidemark-wait-timeout': '' }, 400, 'malformed', /Wait-Timeout/],
    [{ 'tidemark-wait-for': '1', 'tidemark-wait-timeout': 'soon' }, 400, 'malformed', /Wait-Timeout/],
  ])('the headers %j are refused', async (headers, status, code, detail) => {
    for (const path of ['/wiki/There', '/wiki', '/journal']) {
      await expectProblem(await server.ask(path, { headers }), status, code, detail);
    }
  });

  it('a delete of one version, which there is none of, deletes nothing', async () => {
    const answer = await server.ask('/wiki/There?version=1', { method: 'DELETE' });
    const problem = await expectProblem(answer, 422, 'invalid', /takes no query parameters: version/);
    expect(problem.errors).toEqual([{ path: 'version', message: 'this route takes no query parameters' }]);
    expect((await server.ask('/wiki/There')).status).toBe(200);
    // What is public is left alone: caches and probes add parameters.
    expect((await server.ask('/health/live?now=1')).status).toBe(200);
  });

  it('an Expect that nobody knows is refused as a problem', async () => {
    const answer = await raw(
      server.url,
      `GET /wiki/There HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nExpect: miracles\r\nConnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1.1 417 .*problem\+json/s);
  });

  it('another method is 405 and names those that are possible', async () => {
    for (const [method, path, allow] of [
      ['PATCH', '/wiki/There', 'DELETE, GET, HEAD, PUT'],
      ['POST', '/wiki', 'GET, HEAD'],
      ['DELETE', '/journal/1', 'GET, HEAD'],
      ['GET', '/wiki/There/rename', 'POST'],
      ['OPTIONS', '/status', 'GET, HEAD'],
      ['PROPFIND', '/wiki/There', 'DELETE, GET, HEAD, PUT'],
    ] as const) {
      const answer = await server.ask(path, { method });
      expect(answer.headers.get('allow')).toBe(allow);
      await expectProblem(answer, 405, 'method_not_allowed', new RegExp(method));
    }
  });

  it('HEAD answers like GET, without a body, also for the stream', async () => {
    for (const path of ['/wiki/There', '/journal/stream', '/health/live']) {
      const answer = await server.ask(path, { method: 'HEAD' });
      expect([answer.status, await answer.text()]).toEqual([200, '']);
    }
  });
});

it('nothing of all this is an error of the server', () => {
  expect(server.lines.filter((line) => line.level === 'error')).toEqual([]);
});
