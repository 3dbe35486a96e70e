import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type TestServer, testServer } from './server-fixture.ts';

let database: TestDatabase;
let server: TestServer;

beforeAll(async () => {
  database = await testDatabase();
  server = await testServer(database.url, { TIDEMARK_TRUSTED_PROXIES: '127.0.0.0/8' });
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

async function logged(path: string): Promise<Record<string, unknown>[]> {
  const lines = () => server.lines.filter((line) => line.message === 'request' && line.about['path'] === path);
  await waitUntil(() => lines().length > 0, 'the request is logged');
  return lines().map((line) => line.about);
}

it('each request is one line, with the user and the tid', async () => {
  const { tid } = await (await server.put('Logged', 'text')).json();
  expect(await logged('/wiki/Logged')).toEqual([
    { method: 'PUT', path: '/wiki/Logged', status: 201, ms: expect.any(Number), user: 'admin', ipnr: '127.0.0.1', tid },
  ]);
  await fetch(`${server.url}/wiki/NoToken?prefix=1`);
  expect(await logged('/wiki/NoToken?prefix=1')).toMatchObject([{ method: 'GET', status: 401, user: null }]);
  await server.ask('/wiki/%FF');
  expect(await logged('/wiki/%FF')).toMatchObject([{ status: 400 }]);
});

it('an unknown error is 500, logged, and not told', async () => {
  await server.database.query('SELECT 1');
  const { query } = server.database;
  server.database.query = () => Promise.reject(new Error('SELECT secret FROM somewhere'));
  const answer = await server.ask('/wiki/Logged');
  server.database.query = query;
  expect(answer.status).toBe(500);
  expect(await answer.text()).not.toMatch(/secret|SELECT/);
  expect(server.lines.some((line) => line.level === 'error' && line.about['path'] === '/wiki/Logged')).toBe(true);
});

it.each([
  ['203.0.113.7', '203.0.113.7'],
  ['203.0.113.7, 127.0.0.2', '203.0.113.7'],
  ['2001:db8::1', '2001:db8::1'],
  ['::ffff:203.0.113.7', '203.0.113.7'],
  ['garbage', '127.0.0.1'],
  ["'; DROP TABLE wiki", '127.0.0.1'],
])('X-Forwarded-For %j from a trusted proxy is journaled as %s', async (forwarded, ipnr) => {
  const name = `From ${forwarded}`;
  const headers = { 'x-forwarded-for': forwarded };
  const put = await server.send('PUT', `/wiki/${encodeURIComponent(name)}`, { text: 'a' }, headers);
  const { changes } = await (await server.ask(`/journal/${put.headers.get('tidemark-tid')}`)).json();
  expect(changes[0].ipnr).toBe(ipnr);
});

it('X-Forwarded-For of anybody else is ignored', async () => {
  const plain = await testServer(database.url);
  const put = await plain.send('PUT', '/wiki/Plain', { text: 'a' }, { 'x-forwarded-for': '203.0.113.7' });
  const { changes } = await (await plain.ask(`/journal/${put.headers.get('tidemark-tid')}`)).json();
  expect(changes[0].ipnr).toBe('127.0.0.1');
  await plain.close();
});
