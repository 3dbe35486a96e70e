import { once } from 'node:events';
import { type AddressInfo, createServer, type LookupFunction } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { WebhookAddresses, WebhookClient, type WebhookClientOptions } from '#libs/listeners';
import { waitUntil } from '../support/wait-until.ts';
import { status, type WebhookReceiver, webhookReceiver } from '../support/webhook-receiver.ts';

let receiver: WebhookReceiver;
let clients: WebhookClient[];

beforeEach(async () => {
  receiver = await webhookReceiver();
  clients = [];
});
afterEach(async () => {
  for (const client of clients) client.close();
  await receiver.close();
});

function clientWith(options: Partial<WebhookClientOptions> & { allow?: string[] } = {}): WebhookClient {
  const { allow = ['127.0.0.1'], ...rest } = options;
  const client = new WebhookClient({ addresses: new WebhookAddresses(allow), ...rest });
  clients.push(client);
  return client;
}

/** A resolver that gives these addresses, one answer after the other, the last one for ever. */
function resolving(...answers: string[][]): LookupFunction {
  return (_name, _options, callback) => {
    const addresses = answers.length > 1 ? (answers.shift() as string[]) : (answers[0] as string[]);
    callback(null, addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })) as never);
  };
}

const post = (client: WebhookClient, url = receiver.url) =>
  client.post(new URL(url), { 'content-type': 'application/json' }, '{"a":"ä"}');
const named = (host: string) => `http://${host}:${receiver.port}/hook?key=private`;

describe('a webhook client', () => {
  it('posts the body and says what was answered', async () => {
    receiver.answer = (response) => status(response, 202);
    expect(await post(clientWith())).toEqual({ status: 202, retryAfter: undefined });
    expect(receiver.messages).toMatchObject([
      { path: '/hook', body: '{"a":"ä"}', headers: { 'content-type': 'application/json', 'content-length': '10' } },
    ]);
  });

  it('follows no redirect', async () => {
    const other = await webhookReceiver();
    receiver.answer = (response) => status(response, 307, { location: other.url });
    expect(await post(clientWith())).toEqual({ status: 307, retryAfter: undefined });
    expect([receiver.messages.length, other.messages.length]).toEqual([1, 0]);
    await other.close();
  });

  it.each([
    ['120', 120_000],
    ['0', 0],
    ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
    ['soon', undefined],
    ['-5', undefined],
  ])('reads Retry-After: %s', async (header, retryAfter) => {
    receiver.answer = (response) => status(response, 503, { 'retry-after': header });
    expect(await post(clientWith())).toEqual({ status: 503, retryAfter });
  });

  it('reads a date in Retry-After', async () => {
    const date = new Date(Date.now() + 3_600_000).toUTCString();
    receiver.answer = (response) => status(response, 503, { 'retry-after': date });
    const { retryAfter = 0 } = await post(clientWith());
    expect(retryAfter).toBeGreaterThan(3_000_000);
    expect(retryAfter).toBeLessThanOrEqual(3_600_000);
  });

  it('reads no body without end', async () => {
    let written = 0;
    receiver.answer = (response) => {
      response.writeHead(200);
      const chunk = Buffer.alloc(64 * 1024);
      const more = () => {
        while (!response.destroyed && response.write(chunk)) written += chunk.length;
      };
      response.on('drain', more);
      response.on('error', () => undefined);
      more();
    };
    expect(await post(clientWith())).toMatchObject({ status: 200 });
    expect(written).toBeLessThan(64 * 1024 * 1024);
  });

  it('takes a status for an answer, also when the body never ends', async () => {
    receiver.answer = (response) => void response.writeHead(200).write('and');
    expect(await post(clientWith({ timeout: 2_000 }))).toMatchObject({ status: 200 });
  });

  it('waits no longer than its time-out, and names the host, not the path', async () => {
    receiver.answer = () => undefined;
    const error = await post(clientWith({ timeout: 100 }), `${receiver.url}?key=private`).catch((caught) => caught);
    expect(error.message).toBe(`127.0.0.1:${receiver.port}: no answer within 0.1 s`);
  });

  it('says what is wrong with a receiver that is not there, or speaks no HTTP', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined).resume();
      socket.end('220 mail.example.org ESMTP\r\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await expect(post(clientWith(), `http://127.0.0.1:${port}/`)).rejects.toThrow(/^127\.0\.0\.1:\d+: Parse Error/);
    await new Promise((resolve) => server.close(resolve));
    await expect(post(clientWith(), `http://127.0.0.1:${port}/`)).rejects.toThrow(/connect ECONNREFUSED/);
  });

  it('begins with TLS under the name of the host where the URL says https', async () => {
    const greeting = Promise.withResolvers<Buffer>();
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (chunk: Buffer) => {
        greeting.resolve(chunk);
        socket.destroy();
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const url = `https://hooks.example.org:${port}/`;
    await expect(post(clientWith({ lookup: resolving(['127.0.0.1']) }), url)).rejects.toThrow(
      /hooks\.example\.org:\d+: /,
    );
    const hello = await greeting.promise;
    // a handshake that names the host (RFC 6066), and no HTTP
    expect([hello[0], hello.includes('hooks.example.org'), hello.includes('POST')]).toEqual([0x16, true, false]);
    const allow: string[] = [];
    const refused = post(clientWith({ allow, lookup: resolving(['127.0.0.1']) }), url);
    await expect(refused).rejects.toThrow(/is not on the public internet/);
    server.close();
  });

  it('cuts off what is under way when it is closed', async () => {
    const client = clientWith();
    receiver.answer = () => client.close();
    await expect(post(client)).rejects.toThrow(/this process stops/);
  });
});

it('asks for the address of a name once at a time, however many messages wait for it', async () => {
  const questions: (() => void)[] = [];
  const client = clientWith({
    lookup: (name, options, callback) => {
      questions.push(() => resolving(['127.0.0.1'])(name, options, callback));
    },
  });
  const posts = Array.from({ length: 5 }, () => post(client, named('slow.example.org')));
  await waitUntil(() => questions.length === 1, 'the name is asked for');
  questions[0]?.();
  expect((await Promise.all(posts)).map((answer) => answer.status)).toEqual([204, 204, 204, 204, 204]);
  expect(questions).toHaveLength(1);
});

describe('what must not be called is not connected to', () => {
  it.each(['127.0.0.1', '0x7f.1', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]'])('http://%s', async (host) => {
    await expect(post(clientWith({ allow: [] }), named(host))).rejects.toThrow(/is not on the public internet/);
    expect(receiver.messages).toEqual([]);
  });

  it('a name that leads there', async () => {
    const client = clientWith({ allow: [], lookup: resolving(['127.0.0.1', '::1']) });
    const error = await post(client, named('hooks.example.org')).catch((caught) => caught);
    const why = '127.0.0.1, ::1 is not on the public internet: only what TIDEMARK_WEBHOOK_ALLOW names is called there';
    expect(error.message).toBe(`hooks.example.org:${receiver.port}: ${why}`);
    expect(receiver.messages).toEqual([]);
  });

  it('a name that led elsewhere when somebody looked before', async () => {
    // Allowed the first time; the second time the same name is rebound to this machine.
    const client = clientWith({ allow: ['127.0.0.1'], lookup: resolving(['127.0.0.1'], ['127.0.0.2']) });
    expect(await post(client, named('rebound.example.org'))).toMatchObject({ status: 204 });
    await expect(post(client, named('rebound.example.org'))).rejects.toThrow(/127\.0\.0\.2 is not on the public/);
    expect(receiver.messages).toHaveLength(1);
  });

  it('of several addresses of a name those that must not be called are left out', async () => {
    const client = clientWith({ allow: ['127.0.0.1'], lookup: resolving(['10.0.0.1', '127.0.0.1', 'fd00::1']) });
    expect(await post(client, named('many.example.org'))).toMatchObject({ status: 204 });
  });

  it('the name this machine has for itself, unless it is allowed', async () => {
    const { url } = receiver;
    const local = url.replace('127.0.0.1', 'localhost');
    await expect(post(clientWith({ allow: [] }), local)).rejects.toThrow(/is not on the public internet/);
    expect(await post(clientWith({ allow: ['localhost'] }), local)).toMatchObject({ status: 204 });
  });
});
