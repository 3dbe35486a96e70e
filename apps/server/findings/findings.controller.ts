import { Controller, Get, Inject, Param, Query } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { z } from 'zod';
import { KernelError } from '#libs/database';
import { FINDING_STATES } from '#libs/integrity';
import type { Kernel } from '#libs/kernel';
import { Describe } from '../openapi/describe.ts';
import { decodeNumberCursor, encodeNameCursor, pageOf } from '../paging.ts';
import { Allow } from '../permission.guard.ts';
import { KERNEL } from '../tokens.ts';
import { paging, query, text } from '../validation.ts';
import { FindingAnswer, FindingId, FindingList } from './findings.answers.ts';
import { GetFinding, ListFindings } from './findings.handlers.ts';

const NUMBER = /^\d{1,15}$/;

const ListQuery = query({
  ...paging,
  state: z
    .enum(FINDING_STATES, `must be one of ${FINDING_STATES.join(', ')}`)
    .optional()
    .meta({ description: 'In this state only' }),
  resource: text().optional().meta({ description: 'About this resource or projection only' }),
  kind: text().optional().meta({ description: 'Of this kind only' }),
  check: text().optional().meta({ description: 'Of this check only' }),
});

/** What checks of the data have found. */
@Controller('findings')
export class FindingsController {
  constructor(
    private readonly queries: QueryBus,
    @Inject(KERNEL) private readonly kernel: Kernel,
  ) {}

  @Get()
  @Allow('finding', 'read')
  @Describe('listFindings', {
    summary: 'List what checks of the data have found, the latest first',
    answers: { 200: FindingList },
  })
  async list(@Query({ schema: ListQuery }) { limit, cursor, ...filter }: z.infer<typeof ListQuery>) {
    const { epoch } = this.kernel;
    const before = cursor === undefined ? undefined : Number(decodeNumberCursor(epoch, cursor, 15));
    const found = await this.queries.execute(new ListFindings({ ...filter, before, limit: limit + 1 }));
    return pageOf(found, limit, ({ id }) => encodeNameCursor(epoch, String(id)));
  }

  @Get(':id')
  @Allow('finding', 'read')
  @Describe('getFinding', {
    summary: 'See one finding',
    ...{ params: { id: FindingId }, answers: { 200: FindingAnswer }, errors: [404] },
  })
  get(@Param('id') id: string) {
    if (!NUMBER.test(id)) throw new KernelError('not_found', `there is no finding ${JSON.stringify(id)}`);
    return this.queries.execute(new GetFinding(Number(id)));
  }
}
