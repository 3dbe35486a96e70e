import { Controller, Get, Header, Inject } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { z } from 'zod';
import { OPEN_API } from '../tokens.ts';
import { Describe } from './describe.ts';

const DocumentAnswer = z
  .looseObject({ openapi: z.string(), info: z.looseObject({ title: z.string(), version: z.string() }) })
  .meta({ id: 'OpenApiDocument', examples: [{ openapi: '3.1.0', info: { title: 'Tidemark', version: '0.1.0' } }] });

@Controller('openapi.json')
export class OpenApiController {
  constructor(@Inject(OPEN_API) private readonly document: () => Promise<string>) {}

  @Get()
  @RouteConfig({ public: true })
  @Header('Content-Type', 'application/json; charset=utf-8')
  @Describe('getOpenApi', { summary: 'Read this document', answers: { 200: DocumentAnswer } })
  get() {
    return this.document();
  }
}
