import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type TestServer, TOKEN, testServer } from '../server/server-fixture.ts';
import { readEvents } from '../server/sse.ts';
import { docBlocks } from '../support/doc-block.ts';
import { missingNginx, type Nginx, startNginx } from '../support/nginx.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

const missing = missingNginx();
if (missing) process.stdout.write(`nginx tests are skipped: ${missing}\n`);

let database: TestDatabase;
let servers: TestServer[];
let nginx: Nginx;

/** Through the proxy, from another address of this machine than the proxy's own. */
async function ask(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const sent = request(`${nginx.url}${path}`, {
    ...{ method, localAddress: '127.0.0.2' },
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', ...headers },
  });
  sent.end(body === undefined ? undefined : JSON.stringify(body));
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  return { status: answer.statusCode, headers: answer.headers, json: JSON.parse((await text(answer)) || 'null') };
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headers'];
  // biome-ignore lint/suspicious/noExplicitAny: a test states by its expectations what is in it
  readonly json: any;
}

async function openStream(): Promise<Awaited<ReturnType<typeof readEvents>>> {
  const answer = await fetch(`${nginx.url}/journal/stream`, { headers: { authorization: `Bearer ${TOKEN}` } });
  return readEvents(answer.body as ReadableStream<Uint8Array>);
}

(missing ? describe.skip : describe)('two servers behind nginx', () => {
  beforeAll(async () => {
    database = await testDatabase();
    const env = { TIDEMARK_TRUSTED_PROXIES: '127.0.0.1' };
    servers = await Promise.all([testServer(database.url, env), testServer(database.url, env)]);
    const [conf = ''] = docBlocks('docs/deployment.md', 'nginx');
    const [a, b] = servers.map(({ url }) => new URL(url).host) as [string, string];
    nginx = await startNginx(conf.replace('127.0.0.1:3000', a).replace('127.0.0.1:3001', b));
  }, 60_000);

  afterAll(async () => {
    await nginx?.stop();
    await Promise.all(servers?.map((server) => server.close()) ?? []);
    await database?.drop();
  });

  it('take requests in turn, and a page name with a slash arrives as it was sent', async () => {
    const origins = new Set<string>();
    for (let n = 0; n < 6; n++) {
      const put = await ask('PUT', '/wiki/Deep%2FDown%2F%C3%A4', { text: `${n}` });
      expect([put.status, put.json.name]).toEqual([n === 0 ? 201 : 200, 'Deep/Down/ä']);
      const { json } = await ask('GET', `/journal/${put.headers['tidemark-tid']}`);
      origins.add(json.changes[0].origin);
      // a third request, or all changes would fall to the same server
      await ask('GET', '/health/ready');
    }
    expect(origins).toEqual(new Set(servers.map(({ kernel }) => kernel.origin)));
  });

  it('journal the address of the client, and not one that it claims to have', async () => {
    for (const claimed of [{}, { 'x-forwarded-for': '203.0.113.9' }, { 'x-forwarded-for': '203.0.113.9, 127.0.0.1' }]) {
      const put = await ask('PUT', '/wiki/Whence', { text: JSON.stringify(claimed) }, claimed);
      const { json } = await ask('GET', `/journal/${put.headers['tidemark-tid']}`);
      expect(json.changes[0].ipnr).toBe('127.0.0.2');
    }
  });

  it('take bodies of the size that the program takes', async () => {
    const put = await ask('PUT', '/wiki/Large', { text: '\u0001'.repeat(5_000_000) });
    expect(put.status).toBe(201);
    expect((await ask('PUT', '/wiki/Larger', { text: 'x'.repeat(6_000_000) })).status).toBe(413);
  });

  it('stream each change at once, not when a buffer is full', async () => {
    const stream = await openStream();
    for (let n = 0; n < 5; n++) {
      const put = await ask('PUT', '/wiki/Streamed', { text: `${n}` });
      const event = await stream.next();
      expect(JSON.parse(event?.data as string).tid).toBe(Number(put.headers['tidemark-tid']));
    }
    await stream.cancel();
  });

  it('one that shuts down is not missed: requests go to the other, its streams are told to come back', async () => {
    const streams = await Promise.all([openStream(), openStream()]);
    const closed = servers[0]?.close();
    const answers = [];
    for (let n = 0; n < 20; n++) answers.push((await ask('PUT', '/wiki/Kept', { text: `${n}` })).status);
    await closed;
    for (let n = 0; n < 5; n++) answers.push((await ask('GET', '/wiki/Kept')).status);
    expect(answers.filter((status) => (status ?? 500) >= 300)).toEqual([]);
    const ends = await Promise.all(
      streams.map(async (stream) => {
        for (let event = await stream.next(); event; event = await stream.next()) {
          if (event.event === 'reconnect') return 'told to come back';
          if (JSON.parse(event.data as string).fields.text.new === '19') return 'served to the end';
        }
        return 'cut off';
      }),
    );
    expect(ends.sort()).toEqual(['served to the end', 'told to come back']);
    await Promise.all(streams.map((stream) => stream.cancel()));
    servers.shift();
  });
});
