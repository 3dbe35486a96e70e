import { once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { edgeProblem, INTERNAL, type Problem } from './problem.ts';

/** What Node's parser reports of a connection. */
export type ClientError = Error & { code?: string };

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

// So long a client may go on sending after it was refused: closed at once, its own bytes would make it lose the answer.
const LINGER = 2_000;

/** Answers what is no HTTP request at all, once per connection and after the answers that the connection still owes. */
export class ClientErrors {
  readonly #exchanges = new WeakMap<Socket, Set<Exchange>>();
  readonly #refused = new WeakSet<Socket>();
  readonly #told: (status: number, address: string | undefined) => void;

  /** `told` learns of each answer, and where it went. */
  constructor(told: (status: number, address: string | undefined) => void) {
    this.#told = told;
  }

  /** Learns of the server's requests, which are answered in their order. */
  watch(server: Server): void {
    server.on('request', (request, response) => {
      const { socket } = request;
      const open = this.#exchanges.get(socket) ?? new Set();
      const exchange = { request, response };
      this.#exchanges.set(socket, open.add(exchange));
      response.once('close', () => open.delete(exchange));
    });
    server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
      const told = edgeProblem(417, `the server cannot do this: Expect: ${request.headers.expect}`) ?? INTERNAL;
      this.#told(told.status, request.socket.remoteAddress);
      const body = Buffer.from(JSON.stringify(told));
      const type = { 'Content-Type': 'application/problem+json', 'Content-Length': body.length };
      response.writeHead(told.status, { ...type, Connection: 'close' }).end(body);
    });
  }

  refuse(error: ClientError, socket: Socket): void {
    if (this.#refused.has(socket)) return;
    this.#refused.add(socket);
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
    else void this.#answer(clientProblem(error.code), socket);
  }

  async #answer(told: Problem, socket: Socket): Promise<void> {
    const open = [...(this.#exchanges.get(socket) ?? [])];
    const owed = open.filter(({ request }) => request.complete);
    await Promise.all(owed.map(({ response }) => once(response, 'close')));
    // half of another answer has gone already: nothing can be said any more
    if (!socket.writable || open.some(({ request, response }) => !request.complete && response.headersSent)) {
      socket.destroy();
      return;
    }
    this.#told(told.status, socket.remoteAddress);
    socket.end(answerText(told));
    socket.resume();
    setTimeout(() => socket.destroy(), LINGER).unref();
  }
}

function answerText(told: Problem): string {
  const body = JSON.stringify(told);
  const head = [
    `HTTP/1.1 ${told.status} ${STATUS_CODES[told.status]}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}

function clientProblem(code: string | undefined): Problem {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return edgeProblem(408, 'the request took too long to arrive') ?? INTERNAL;
    case 'HPE_HEADER_OVERFLOW':
      return edgeProblem(431, 'the head of the request, its URL and headers together, exceeds 16 KB') ?? INTERNAL;
    default:
      return edgeProblem(400, 'this is not a valid HTTP request') ?? INTERNAL;
  }
}
