import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type FindingFilter, type FindingView, getFinding, listFindings } from '#libs/integrity';
import type { Kernel } from '#libs/kernel';
import { KERNEL } from '../tokens.ts';

export class ListFindings extends Query<FindingView[]> {
  constructor(readonly options: FindingFilter & { before?: number | undefined; limit: number }) {
    super();
  }
}

@QueryHandler(ListFindings)
export class ListFindingsHandler implements IQueryHandler<ListFindings> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ options }: ListFindings) {
    return listFindings(this.kernel.database, options);
  }
}

export class GetFinding extends Query<FindingView> {
  constructor(readonly id: number) {
    super();
  }
}

@QueryHandler(GetFinding)
export class GetFindingHandler implements IQueryHandler<GetFinding> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ id }: GetFinding) {
    return getFinding(this.kernel.database, id);
  }
}

export const findingsHandlers = [ListFindingsHandler, GetFindingHandler];
