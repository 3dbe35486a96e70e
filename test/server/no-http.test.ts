import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { raw } from './raw.ts';
import { type TestServer, TOKEN, testServer } from './server-fixture.ts';

let database: TestDatabase;
let server: TestServer;

beforeAll(async () => {
  database = await testDatabase();
  server = await testServer(database.url, {}, { limits: { head: 300 } });
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const HEAD = `Host: here\r\nAuthorization: Bearer ${TOKEN}\r\n`;
const PUT = `PUT /wiki/Raw HTTP/1.1\r\n${HEAD}Content-Type: application/json\r\n`;

/** One answer after the other, as a client of a connection reads them. */
function answers(text: string): { status: number; type: string | undefined; body: string }[] {
  const found = [];
  for (let rest = text; rest !== ''; ) {
    const end = rest.indexOf('\r\n\r\n') + 4;
    const head = rest.slice(0, end);
    const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? rest.length - end);
    const body = rest.slice(end, end + length);
    found.push({ status: Number(head.split(' ')[1]), type: /^content-type: ([^;\r]+)/im.exec(head)?.[1], body });
    rest = rest.slice(end + length);
  }
  return found;
}

describe('a request that cannot be read is refused as a problem', () => {
  it.each([
    ['garbage', 'hello\r\n\r\n', 400, /not a valid HTTP request/],
    ['a header without a name', 'GET / HTTP/1.1\r\n: x\r\n\r\n', 400, /not a valid/],
    ['control characters in a header', 'GET /wiki HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n', 400, /not a valid/],
    ['HTTP/2 without an upgrade', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, /not a valid/],
    ['a body with a broken length', `${PUT}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, 400, /not a valid/],
    ['a body with two lengths', `${PUT}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n`, 400, /not a/],
    ['no Host', 'GET /wiki HTTP/1.1\r\nConnection: close\r\n\r\n', 400, /needs a Host/],
    ['an expectation nobody knows', `${PUT}Expect: wonders\r\nContent-Length: 2\r\n\r\n{}`, 417, /Expect: wonders/],
    ['a header of 20 KB', `GET /wiki HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431, /16 KB/],
    ['a header of 100 KB', `GET /wiki HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`, 431, /16 KB/],
    ['a header of 10 MB', `GET /wiki HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(10_000_000)}\r\n\r\n`, 431, /16 KB/],
    ['a URL of 100 KB', `GET /wiki/${'x'.repeat(100_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431, /its URL and headers/],
    ['a head that never ends', 'GET /wiki HTTP/1.1\r\nHost: a\r\nX: ', 408, /took too long/],
    ['nothing at all', '', 408, /took too long/],
  ])('%s', async (_, bytes, status, detail) => {
    const [answer, ...more] = answers(await raw(server.url, bytes));
    expect(more).toEqual([]);
    expect(answer).toMatchObject({ status, type: 'application/problem+json' });
    const problem = JSON.parse(answer?.body as string);
    expect(problem).toEqual({
      ...{ type: 'about:blank', title: expect.any(String), status, code: expect.stringMatching(/^[a-z_]+$/) },
      detail: expect.stringMatching(detail),
    });
  });
});

it('control characters in a token are refused', async () => {
  const bytes = 'GET /wiki HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\r\nConnection: close\r\n\r\n';
  expect(await raw(server.url, bytes)).toMatch(/^HTTP\/1.1 401/);
});

it.each([1_000, 2_500])('of %i headers none is lost', async (count) => {
  const many = Array.from({ length: count }, (_, n) => `${n % 2 === 0 ? 'a' : 'b'}:\r\n`).join('');
  const bytes = `GET /wiki HTTP/1.1\r\nHost: a\r\n${many}${HEAD.split('\r\n')[1]}\r\nConnection: close\r\n\r\n`;
  expect(await raw(server.url, bytes)).toMatch(/^HTTP\/1.1 200/);
});

describe('a path that no client library would send', () => {
  const get = (path: string) => raw(server.url, `GET ${path} HTTP/1.1\r\n${HEAD}Connection: close\r\n\r\n`);

  it('.. as the whole name of a page is refused', async () => {
    expect(await get('/wiki/..')).toMatch(/^HTTP\/1.1 422[\s\S]*segment/);
  });

  it.each(['%', '%zz', '%FF', '%ED%A0%80', 'a%2'])('the malformed path /wiki/%s is refused with 400', async (name) => {
    expect(await get(`/wiki/${name}`)).toMatch(/^HTTP\/1.1 400[\s\S]*problem\+json[\s\S]*"malformed"/);
  });
});

describe('garbage behind requests on one connection', () => {
  it('is refused after their answers, in turn', async () => {
    const body = '{"text":"pipelined"}';
    const put = `${PUT}Content-Length: ${body.length}\r\n\r\n${body}`;
    const get = `GET /wiki/Nothing HTTP/1.1\r\n${HEAD}\r\n`;
    const told = answers(await raw(server.url, `${put}${get}garbage\r\n\r\n`));
    expect(told.map(({ status }) => status)).toEqual([201, 404, 400]);
    expect(JSON.parse(told[0]?.body as string)).toMatchObject({ text: 'pipelined' });
  });

  it('does not take an answer away that is late', async () => {
    const { cursor } = await (await server.ask('/journal?after=now')).json();
    const poll = `GET /journal?after=${cursor}&wait=1 HTTP/1.1\r\n${HEAD}\r\n`;
    const told = answers(await raw(server.url, `${poll}garbage\r\n\r\n`));
    expect(told.map(({ status }) => status)).toEqual([200, 400]);
  });
});

it('what came is logged, is no error of the server, and only the one page was stored', async () => {
  const refused = server.lines.filter((line) => line.message === 'what came was no request');
  expect(refused[0]).toMatchObject({ level: 'info', about: { status: 400, ipnr: '127.0.0.1' } });
  expect(server.lines.filter((line) => line.level === 'error')).toEqual([]);
  const { changes } = await (await server.ask('/journal')).json();
  expect(changes).toHaveLength(1);
});
