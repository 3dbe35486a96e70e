import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { bareHost, refusal, type WebhookAddresses } from './webhook-addresses.ts';

export interface WebhookClientOptions {
  readonly addresses: WebhookAddresses;
  /** Milliseconds for all of a request; default 15,000. */
  readonly timeout?: number;
  /** How names are resolved: dns.lookup unless given. */
  readonly lookup?: LookupFunction;
}

/** What a receiver has answered; its body is of no interest. */
export interface WebhookAnswer {
  readonly status: number;
  /** Of `Retry-After`, from now on. */
  readonly retryAfter: number | undefined;
}

const TIMEOUT = 15_000;
const MOST_OF_BODY = 64 * 1024;
const MOST_OF_HEADERS = 16 * 1024;

/**
 * Posts to receivers, each time over a connection of its own, to no address that must not be called: the very address that is connected to
 * is judged, so a name that leads elsewhere the next time gains nothing. Follows no redirect and goes through no proxy.
 */
export class WebhookClient {
  readonly #options: WebhookClientOptions;
  readonly #closing = new AbortController();
  readonly #asked = new Map<string, Promise<LookupAddress[]>>();
  readonly #agents = { http: new HttpAgent(), https: new HttpsAgent() };

  constructor(options: WebhookClientOptions) {
    this.#options = options;
  }

  /** Returns what the receiver has answered. Throws with the cause when there is no answer; the error names the host, never the whole URL. */
  async post(url: URL, headers: Readonly<Record<string, string>>, body: string): Promise<WebhookAnswer> {
    const { timeout = TIMEOUT } = this.#options;
    const late = AbortSignal.timeout(timeout);
    try {
      this.#refuseAddress(url.hostname);
      return await this.#send(url, headers, body, AbortSignal.any([late, this.#closing.signal]));
    } catch (error) {
      const why = late.aborted ? `no answer within ${timeout / 1_000} s` : causeOf(error);
      throw new Error(`${url.host}: ${why}`, { cause: error });
    }
  }

  /** Cuts off what is under way. */
  close(): void {
    this.#closing.abort(new Error('this process stops'));
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }

  /** An address in the URL itself is connected to without being looked up. */
  #refuseAddress(hostname: string): void {
    const address = bareHost(hostname);
    if (isIP(address) !== 0 && !this.#options.addresses.allows(hostname, address)) throw new Error(refusal(address));
  }

  #send(url: URL, headers: Readonly<Record<string, string>>, body: string, signal: AbortSignal) {
    const secure = url.protocol === 'https:';
    const { promise, resolve, reject } = Promise.withResolvers<WebhookAnswer>();
    const request = (secure ? httpsRequest : httpRequest)(url, {
      ...{ method: 'POST', signal, maxHeaderSize: MOST_OF_HEADERS, lookup: this.#lookup(url.hostname) },
      agent: secure ? this.#agents.https : this.#agents.http,
      headers: { ...headers, 'content-length': Buffer.byteLength(body) },
    });
    let answer: WebhookAnswer | undefined;
    request.on('error', (error) => (answer ? resolve(answer) : reject(error)));
    request.on('response', (response) => {
      const known = { status: response.statusCode ?? 0, retryAfter: retryAfter(response.headers['retry-after']) };
      answer = known;
      drain(response, () => resolve(known));
    });
    request.end(body);
    return promise;
  }

  /** Resolves a name to those of its addresses that may be called. */
  #lookup(hostname: string): LookupFunction {
    return (name, options, callback) => {
      this.#resolve(name).then(
        (all) => {
          const allowed = all.filter(({ address }) => this.#options.addresses.allows(hostname, address));
          const [first] = allowed;
          if (!first) return callback(new Error(refusal(all.map(({ address }) => address).join(', '))), '');
          return options.all ? callback(null, allowed) : callback(null, first.address, first.family);
        },
        (error: NodeJS.ErrnoException) => callback(error, ''),
      );
    };
  }

  /** One question at a time for each name: each takes a thread of the process, of which there are few, for as long as nobody answers it. */
  #resolve(name: string): Promise<LookupAddress[]> {
    const { lookup = systemLookup as LookupFunction } = this.#options;
    const asked = this.#asked.get(name);
    if (asked) return asked;
    const { promise, resolve, reject } = Promise.withResolvers<LookupAddress[]>();
    this.#asked.set(name, promise);
    lookup(name, { all: true }, (error, found) => {
      this.#asked.delete(name);
      if (error) reject(error);
      else resolve(found as LookupAddress[]);
    });
    return promise;
  }
}

/** Reads a body to its end, or up to a limit, so that the receiver sees it taken. What becomes of it changes nothing. */
function drain(response: IncomingMessage, done: () => void): void {
  let bytes = 0;
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MOST_OF_BODY) response.destroy();
  });
  response.on('error', () => undefined);
  response.on('close', done);
}

/** Milliseconds: of seconds, or of a date. */
function retryAfter(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1_000;
  const milliseconds = header.endsWith('GMT') ? Date.parse(header) - Date.now() : Number.NaN;
  return Number.isNaN(milliseconds) ? undefined : Math.max(0, milliseconds);
}

/** Node tells of several addresses that were tried in an error without a message. */
function causeOf(error: unknown): string {
  const { message, code, errors = [], cause } = error as NodeJS.ErrnoException & { errors?: unknown[] };
  if (errors.length > 0) return [...new Set(errors.map(causeOf))].join('; ');
  if ((error as Error).name === 'AbortError' && cause instanceof Error) return cause.message;
  return message || code || 'it has failed';
}
