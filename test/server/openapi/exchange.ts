import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import type { GeneratedRequest, Value } from './arbitrary-request.ts';
import type { Recalled } from './arbitrary-value.ts';

/** What was answered; `body` is null for a stream, which is not read. */
export interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string | null;
}

/** What earlier answers held, to be used in later requests. */
export class Memory {
  readonly #seen: Record<Recalled['recall'], string[]> = {
    etag: ['"1-1"'],
    cursor: ['WyJlbHNld2hlcmUiLDFd'],
    tid: ['1'],
    time: ['2026-11-20T09:30:00Z'],
    id: ['1'],
  };

  fill(value: Value): string {
    if (typeof value === 'string') return value;
    const seen = this.#seen[value.recall];
    return seen.at(-1 - (value.back % seen.length)) as string;
  }

  keep({ status, headers, body }: Answered): void {
    if (status >= 300 || body === null) return;
    const add = (kind: Recalled['recall'], found: unknown) => {
      if (typeof found === 'string' || typeof found === 'number') this.#seen[kind].push(String(found));
    };
    add('etag', headers.etag);
    add('tid', headers['tidemark-tid']);
    const { next, cursor, time, id } = JSON.parse(body.startsWith('{') ? body : '{}');
    add('cursor', next);
    add('cursor', cursor);
    add('time', time);
    add('id', id);
  }
}

/** The path and query of a request, as they go over the line. */
export function targetOf({ operation, path, query }: GeneratedRequest, memory: Memory): string {
  const values = path.map(({ value, raw }) => (raw ? memory.fill(value) : encode(memory.fill(value))));
  const filled = operation.path.replace(/{\w+}/g, () => values.shift() as string);
  const asked = query.map(
    ([name, value, raw]) => `${encode(name)}=${raw ? memory.fill(value) : encode(memory.fill(value))}`,
  );
  return asked.length > 0 ? `${filled}?${asked.join('&')}` : filled;
}

/** Sends a request as it is, however odd. */
export function exchange(
  origin: string,
  target: string,
  { operation, headers, body }: GeneratedRequest,
  { authorization, memory }: { authorization: string | undefined; memory: Memory },
): Promise<Answered> {
  const { hostname, port } = new URL(origin);
  const { promise, resolve, reject } = Promise.withResolvers<Answered>();
  const request = httpRequest({ hostname, port, method: operation.method, path: target, agent: false });
  for (const [name, value] of headers) request.setHeader(name, memory.fill(value));
  if (authorization !== undefined) request.setHeader('Authorization', authorization);
  if (body?.type !== null && body?.type !== undefined) request.setHeader('Content-Type', body.type);
  if (body) request.setHeader('Content-Length', body.bytes.length);
  request.on('response', (response) => {
    const answered = { status: response.statusCode as number, headers: response.headers };
    if (response.headers['content-type']?.startsWith('text/event-stream')) {
      response.destroy();
      resolve({ ...answered, body: null });
      return;
    }
    const chunks: Buffer[] = [];
    response.on('data', (chunk) => chunks.push(chunk));
    response.on('end', () => resolve({ ...answered, body: Buffer.concat(chunks).toString() }));
    response.on('error', reject);
  });
  request.on('error', reject);
  request.end(body?.bytes);
  return promise;
}

function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(/^\.\.?$/, (dots) => dots.replaceAll('.', '%2E'));
}
