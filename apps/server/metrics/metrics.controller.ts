import { Controller, Get, Inject, Res } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyReply } from 'fastify';
import { Describe } from '../openapi/describe.ts';
import { METRICS } from '../tokens.ts';
import type { ServerMetrics } from './server-metrics.ts';

const EXAMPLE = '# TYPE tidemark_database_up gauge\ntidemark_database_up 1\n';

@Controller('metrics')
export class MetricsController {
  constructor(@Inject(METRICS) private readonly metrics: ServerMetrics) {}

  @Get()
  @RouteConfig({ public: true })
  @Describe('getMetrics', {
    summary: 'Read the figures of the process',
    answers: { 200: { type: 'text/plain', description: 'In the text format of Prometheus', example: EXAMPLE } },
  })
  async get(@Res({ passthrough: true }) reply: FastifyReply) {
    const { contentType, text } = await this.metrics.scrape();
    reply.header('Content-Type', contentType);
    return text;
  }
}
