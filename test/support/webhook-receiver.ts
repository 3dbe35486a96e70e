import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A message as it came. */
export interface ReceivedMessage {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test states by its expectations what is in it
  readonly json: any;
}

/** A receiver of webhooks that keeps what comes, and answers 204 unless it is told otherwise. */
export interface WebhookReceiver {
  readonly url: string;
  readonly port: number;
  /** In the order in which they came, whatever was answered. */
  readonly messages: ReceivedMessage[];
  /** Answers a message; may be changed while it runs. */
  answer: (response: ServerResponse, message: ReceivedMessage) => void;
  close(): Promise<void>;
}

export async function webhookReceiver(host = '127.0.0.1'): Promise<WebhookReceiver> {
  const messages: ReceivedMessage[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const message = { path: request.url ?? '', headers: request.headers, body, json: parsed(body) };
    messages.push(message);
    receiver.answer(response, message);
  }).listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const receiver: WebhookReceiver = {
    ...{ url: `http://${host.includes(':') ? `[${host}]` : host}:${port}/hook`, port, messages },
    answer: (response) => status(response, 204),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return receiver;
}

/** Answers with a status and headers. */
export function status(response: ServerResponse, code: number, headers: Record<string, string> = {}): void {
  response.writeHead(code, headers).end();
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
