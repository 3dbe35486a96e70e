import { Controller, Get } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { Describe } from '../openapi/describe.ts';
import { Allow } from '../permission.guard.ts';
import { StatusAnswer } from './status.answers.ts';
import { GetStatus } from './status.handlers.ts';

@Controller('status')
export class StatusController {
  constructor(private readonly queries: QueryBus) {}

  @Get()
  @Allow('status', 'read')
  @Describe('getStatus', { summary: 'See how the servers and the journal are doing', answers: { 200: StatusAnswer } })
  get() {
    return this.queries.execute(new GetStatus());
  }
}
