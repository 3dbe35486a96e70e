import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { KernelError } from '#libs/database';
import { MAX_TEXT_BYTES } from '#libs/resources';

/** Each byte of a text may be written as six: \u0001. The rest of a body is small. */
export const BODY_LIMIT = 6 * MAX_TEXT_BYTES + 256 * 1024;
const MAX_DEPTH = 64;

/**
 * Reads JSON bodies in place of Fastify's parser: says where the JSON breaks off, refuses bytes that are not UTF-8 instead of
 * replacing them, and refuses deep nesting before it is parsed. A PUT, POST or PATCH must have a body.
 */
export function useJsonBodies(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT },
    async (_request: FastifyRequest, body: Buffer) => (body.length === 0 ? undefined : parseJson(body)),
  );
  fastify.addHook('preValidation', async ({ method, body, is404 }) => {
    if (is404 || body !== undefined || !['PUT', 'POST', 'PATCH'].includes(method)) return;
    throw new KernelError('malformed', 'the body is empty: a JSON object is needed');
  });
}

/** Throws `malformed` with the reason. */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new KernelError('malformed', 'the body is not UTF-8');
  if (isDeeperThan(bytes, MAX_DEPTH)) {
    throw new KernelError('malformed', `the body is nested deeper than ${MAX_DEPTH} levels`);
  }
  const json = bytes.toString();
  const value = parse(json);
  // Copied onto another object such a key would replace its prototype.
  if (/__proto__|\\u/.test(json) && hasPrototypeKey(value)) {
    throw new KernelError('malformed', 'the body has a field __proto__');
  }
  return value;
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new KernelError('malformed', `the body is not JSON: ${(error as Error).message}`);
  }
}

function hasPrototypeKey(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.hasOwn(value, '__proto__') || Object.values(value).some(hasPrototypeKey);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Whether arrays and objects nest deeper than a limit, without parsing: a parsed monster would fill the memory. */
export function isDeeperThan(json: Uint8Array, limit: number): boolean {
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) at = endOfString(json, at);
    else if (byte === 0x5b || byte === 0x7b) depth++;
    else if (byte === 0x5d || byte === 0x7d) depth--;
    if (depth > limit) return true;
  }
  return false;
}

function endOfString(json: Uint8Array, start: number): number {
  for (let quote = json.indexOf(QUOTE, start + 1); quote !== -1; quote = json.indexOf(QUOTE, quote + 1)) {
    let escapes = 0;
    while (json[quote - 1 - escapes] === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return quote;
  }
  return json.length;
}
