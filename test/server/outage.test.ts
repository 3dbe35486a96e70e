import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type OwnServer, ownServer } from '../support/own-server.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type TestServer, testServer } from './server-fixture.ts';
import { readEvents } from './sse.ts';

let postgres: OwnServer;
let server: TestServer;

beforeAll(async () => {
  postgres = await ownServer();
  server = await testServer(postgres.url);
});
afterAll(async () => {
  await server?.close();
  await postgres?.stop();
});

const statusOf = async (path: string) => (await server.ask(path)).status;

it('a database that is killed under load makes 503, leaves nothing half done, and is found again', async () => {
  const acknowledged: string[] = [];
  const statuses = new Set<number>();
  let writing = true;
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    for (let n = 0; writing; n++) {
      const answer = await server.put(`W${writer}/${n}`, `text ${n}`);
      statuses.add(answer.status);
      if (answer.status === 201) acknowledged.push(`W${writer}/${n}`);
      else expect(await answer.json()).toMatchObject({ status: 503, code: 'unavailable' });
    }
  });
  await waitUntil(() => acknowledged.length > 100, 'pages are written');
  await postgres.kill9();
  await waitUntil(() => statuses.has(503), 'writes fail');
  expect(await statusOf('/wiki/W0%2F0')).toBe(503);
  expect((await server.ask('/health/ready')).status).toBe(503);
  expect(await statusOf('/health/live')).toBe(200);

  const before = acknowledged.length;
  await postgres.start();
  await waitUntil(() => acknowledged.length > before + 100, 'pages are written again');
  writing = false;
  await Promise.all(writers);
  await waitUntil(async () => (await statusOf('/health/ready')) === 200, 'the server is ready');

  expect([...statuses].sort()).toEqual([201, 503]);
  const { rows } = await server.database.query<{ name: string }>('SELECT name FROM wiki');
  const stored = new Set(rows.map((row) => row.name));
  expect(acknowledged.filter((name) => !stored.has(name))).toEqual([]);
  expect((await server.database.query(`SELECT * FROM tidemark.drift('wiki')`)).rows).toEqual([]);
});

it('the page list and the stream go on after an outage', async () => {
  const answer = await server.ask('/journal/stream');
  const stream = await readEvents(answer.body as ReadableStream<Uint8Array>);
  await postgres.kill9();
  await waitUntil(async () => (await statusOf('/wiki/After')) === 503, 'the outage is noticed');
  await postgres.start();
  await waitUntil(async () => (await server.put('After', 'text')).ok, 'the database is found again');
  const { tid } = await (await server.put('After', 'more')).json();
  const listed = await server.ask('/wiki?prefix=After', { headers: { 'tidemark-wait-for': String(tid) } });
  expect((await listed.json()).items).toEqual(['After']);
  expect(JSON.parse((await stream.next())?.data as string)).toMatchObject({ fields: { name: { new: 'After' } } });
  await stream.cancel();
});

it('no answer tells what the database said', () => {
  const failures = server.lines.filter((line) => line.level === 'error' && line.message === 'a request has failed');
  expect(failures).toEqual([]);
});
