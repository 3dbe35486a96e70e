import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { KernelError } from '#libs/database';
import { MAX_TEXT_BYTES } from '#libs/resources';
import { checkStructure } from './json-structure.ts';

/** Each byte of a text may be written as six: \u0001. The rest of a body is small. */
export const BODY_LIMIT = 6 * MAX_TEXT_BYTES + 256 * 1024;

/**
 * Reads JSON bodies in place of Fastify's parser: says where the JSON breaks off, refuses bytes that are not UTF-8 instead of
 * replacing them, and refuses deep nesting and repeated fields before they are parsed.
 */
export function useJsonBodies(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT },
    async (_request: FastifyRequest, body: Buffer) => (body.length === 0 ? undefined : parseJson(body)),
  );
}

/** Throws `malformed` with the reason. */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new KernelError('malformed', 'the body is not UTF-8');
  checkStructure(bytes);
  try {
    return JSON.parse(bytes.toString());
  } catch (error) {
    throw new KernelError('malformed', `the body is not JSON: ${(error as Error).message}`);
  }
}
