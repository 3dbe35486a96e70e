import { Controller, Get } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { GetStatus } from './status.handlers.ts';

@Controller('status')
export class StatusController {
  constructor(private readonly queries: QueryBus) {}

  @Get()
  get() {
    return this.queries.execute(new GetStatus());
  }
}
