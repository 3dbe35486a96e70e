import { Controller, Get, Req } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import type { FastifyRequest } from 'fastify';
import { requireRole } from '../identity.ts';
import { GetStatus } from './status.handlers.ts';

@Controller('status')
export class StatusController {
  constructor(private readonly queries: QueryBus) {}

  @Get()
  get(@Req() request: FastifyRequest) {
    requireRole(request, 'admin');
    return this.queries.execute(new GetStatus());
  }
}
