import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createToken } from '#libs/access';
import { Database } from '#libs/database';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
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

/** Sends bytes that no client library would, and reads until the server closes. */
function raw(bytes: string | Buffer): Promise<string> {
  const { port, hostname } = new URL(server.url);
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    socket.setEncoding('utf8').on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('close', () => resolve(answer)).on('error', reject);
  });
}

function rawRequest(line: string, headers: string[] = [], body = ''): Promise<string> {
  const all = ['Host: here', `Authorization: Bearer ${TOKEN}`, 'Connection: close', ...headers];
  return raw(`${line} HTTP/1.1\r\n${all.join('\r\n')}\r\n\r\n${body}`);
}

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
    ['Bearer wrong', /unknown, revoked or expired/],
    [`Bearer ${TOKEN}x`, /unknown, revoked or expired/],
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
    await expectProblem(await fetch(`${server.url}/status`, { headers }), 403, 'forbidden', /role admin/);
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
    ['a list', '[]', 422, 'invalid', /object/],
    ['null', 'null', 422, 'invalid', /object/],
    ['no text', '{}', 422, 'invalid', /text: /],
    ['a number as text', '{"text":1}', 422, 'invalid', /text: /],
    ['a word as readonly', '{"text":"a","readonly":"yes"}', 422, 'invalid', /readonly: /],
    ['an unknown field', '{"text":"a","txet":"b"}', 422, 'invalid', /txet/],
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
      await expectProblem(await putRaw('{"text":"a"}', { 'content-type': type }), 415, 'unsupported_media_type', /./);
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

  it('.. as the whole name is refused, where a client does not resolve it', async () => {
    expect(await rawRequest('GET /wiki/..')).toMatch(/^HTTP\/1.1 422[\s\S]*segment/);
  });

  it('an empty name is refused with 422', async () => {
    await expectProblem(await server.send('PUT', '/wiki/', { text: 'a' }), 422, 'invalid', /empty/);
    await expectProblem(await server.ask('/wiki//history'), 422, 'invalid', /empty/);
  });

  it('a name of 500 characters of four bytes each is possible', async () => {
    expect((await server.put('😀'.repeat(500), 'text')).status).toBe(201);
  });

  it.each(['%', '%zz', '%FF', '%ED%A0%80', 'a%2'])('the malformed path /wiki/%s is refused with 400', async (name) => {
    const answer = await rawRequest(`GET /wiki/${name}`);
    expect(answer).toMatch(/^HTTP\/1.1 400[\s\S]*problem\+json[\s\S]*"malformed"/);
  });

  it('a slash that is not encoded is 404 with a hint', async () => {
    await expectProblem(await server.ask('/wiki/a/b/c'), 404, 'not_found', /%2F/);
  });
});

/** Copies of one template share their epoch, which databases that were migrated never do. */
async function setEpoch({ ownerUrl }: TestDatabase, epoch: string): Promise<void> {
  const owner = Database.open({ url: ownerUrl });
  await owner.query('UPDATE tidemark.epoch SET epoch = $1', [epoch]);
  await owner.close();
}

describe('queries and headers', () => {
  it.each([
    ['/wiki?limit=0', /limit: .* 1 to 500/],
    ['/wiki?limit=501', /limit/],
    ['/wiki?limit=1e2', /limit/],
    ['/wiki?limit=1&limit=2', /limit/],
    ['/wiki?prefx=a', /prefx/],
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
    await setEpoch(other, 'elsewhere');
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

describe('what is no HTTP', () => {
  it.each([
    ['garbage', 'hello\r\n\r\n', 400],
    ['a header without a name', 'GET / HTTP/1.1\r\n: x\r\n\r\n', 400],
    ['control characters in a header', 'GET /wiki HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n', 400],
    ['a head of 20 KB', `GET /wiki HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ])('%s is refused as a problem', async (_, bytes, status) => {
    expect(await raw(bytes)).toMatch(new RegExp(`^HTTP/1.1 ${status}.*problem\\+json.*"status":${status}`, 's'));
  });

  it('control characters in a token are refused', async () => {
    expect(
      await raw('GET /wiki HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\r\nConnection: close\r\n\r\n'),
    ).toMatch(/^HTTP\/1.1 401/);
  });
});

it('nothing of all this is an error of the server', () => {
  expect(server.lines.filter((line) => line.level === 'error')).toEqual([]);
});
