import { Controller, Get, Headers, Inject, Param, Query, Req, Res } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { KernelError } from '#libs/database';
import type { Kernel } from '#libs/kernel';
import { KERNEL, STREAMS } from '../tokens.ts';
import { paging, query, text, wholeNumber } from '../validation.ts';
import { GetTid, ReadJournal } from './journal.handlers.ts';
import { checkResource, positionOf } from './journal.ts';
import type { JournalStreams } from './journal-streams.ts';

const Place = { after: text().optional(), resource: text().optional() };
const JournalQuery = query({ ...Place, limit: paging.limit, wait: wholeNumber(0, 30).default(0) });
const StreamQuery = query(Place);

@Controller('journal')
export class JournalController {
  constructor(
    private readonly queries: QueryBus,
    @Inject(KERNEL) private readonly kernel: Kernel,
    @Inject(STREAMS) private readonly streams: JournalStreams,
  ) {}

  @Get()
  async read(
    @Query({ schema: JournalQuery }) { after, limit, resource, wait }: z.infer<typeof JournalQuery>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    await checkResource(this.kernel, resource);
    const position = await positionOf(this.kernel, after);
    const signal = AbortSignal.any([this.streams.closing, closed(reply)]);
    return this.queries.execute(new ReadJournal({ after: position, limit, resource, wait, signal }));
  }

  @Get('stream')
  async stream(
    @Query({ schema: StreamQuery }) { after, resource }: z.infer<typeof StreamQuery>,
    @Headers('last-event-id') lastEventId: string | undefined,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await checkResource(this.kernel, resource);
    const position = await positionOf(this.kernel, lastEventId || after || 'now');
    if (request.method === 'HEAD') {
      reply.header('Content-Type', 'text/event-stream; charset=utf-8').send();
      return;
    }
    reply.hijack();
    await this.streams.serve(reply.raw, { after: position, resource });
  }

  @Get(':tid')
  async tid(@Param('tid') tid: string) {
    if (!/^\d{1,15}$/.test(tid)) throw new KernelError('malformed', `${JSON.stringify(tid)} is not a tid`);
    return { changes: await this.queries.execute(new GetTid(Number(tid))) };
  }
}

function closed(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}
