import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Controller, Get, Param, Res } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { KernelError } from '#libs/database';
import { Describe } from '../openapi/describe.ts';
import { DOCS_PAGE, DOCS_SCRIPT, DOCS_STYLE } from './docs-page.ts';

// The page carries a token: nothing that is not from here may run in it, and it sends nothing elsewhere.
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const OWN = new Map([
  ['docs.js', DOCS_SCRIPT],
  ['docs.css', DOCS_STYLE],
]);
const SWAGGER_UI = new Set(['swagger-ui-bundle.js', 'swagger-ui.css', 'favicon-32x32.png']);
const TYPES: Record<string, string> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  png: 'image/png',
};

/** The OpenAPI document as a page from which requests can be sent. All of it comes from this server. */
@Controller('docs')
export class DocsController {
  @Get()
  @RouteConfig({ public: true })
  @Describe('getDocs', {
    summary: 'Read it as a page, and send requests from there',
    answers: { 200: { type: 'text/html', description: 'The page', example: '<!doctype html>' } },
  })
  page(@Res() reply: FastifyReply) {
    reply.headers({
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': POLICY,
      'X-Content-Type-Options': 'nosniff',
      'Referrer-Policy': 'no-referrer',
      'Cache-Control': 'no-cache',
    });
    reply.send(DOCS_PAGE);
  }

  @Get(':file')
  @RouteConfig({ public: true })
  @Describe('getDocsFile', {
    summary: 'What the page is made of',
    params: { file: z.enum([...OWN.keys(), ...SWAGGER_UI]).meta({ examples: ['docs.js'] }) },
    ...{ answers: { 200: { type: '*/*', description: 'A script, a style sheet or an icon' } }, errors: [404] },
  })
  async file(@Param('file') file: string, @Res() reply: FastifyReply) {
    const content = OWN.get(file) ?? (await swaggerUiFile(file));
    reply.headers({
      'Content-Type': TYPES[file.split('.').at(-1) as string] as string,
      'X-Content-Type-Options': 'nosniff',
      'Cache-Control': 'no-cache',
      ETag: `"${createHash('sha256').update(content).digest('base64url')}"`,
    });
    reply.send(content);
  }
}

async function swaggerUiFile(file: string): Promise<Buffer> {
  if (!SWAGGER_UI.has(file)) throw new KernelError('not_found', 'the page has no such file');
  const swagger = createRequire(import.meta.resolve('@nestjs/swagger'));
  return readFile(swagger.resolve(`swagger-ui-dist/${file}`));
}
