import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Kernel } from '#libs/kernel';
import { KERNEL } from '../tokens.ts';
import { readStatus, type Status } from './status.ts';

export class GetStatus extends Query<Status> {}

@QueryHandler(GetStatus)
export class GetStatusHandler implements IQueryHandler<GetStatus> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute() {
    return readStatus(this.kernel);
  }
}

export const statusHandlers = [GetStatusHandler];
