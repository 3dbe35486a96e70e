import { Controller, Get, Headers, Inject, Param, Query, Req, Res } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { KernelError } from '#libs/database';
import type { Kernel } from '#libs/kernel';
import { type Caller, CurrentCaller } from '../caller.ts';
import { clientAddress } from '../identity.ts';
import { Describe } from '../openapi/describe.ts';
import { Allow } from '../permission.guard.ts';
import { KERNEL, STREAMS } from '../tokens.ts';
import { limit, paging, query, text, wholeNumber } from '../validation.ts';
import { JournalAnswer, STREAM_EXAMPLE, TidAnswer } from './journal.answers.ts';
import { GetTid, ReadJournal } from './journal.handlers.ts';
import { checkResource, positionOf } from './journal.ts';
import type { JournalStreams } from './journal-streams.ts';

// Seconds after which a client that was refused may try again.
const RETRY_AFTER = '5';

const Place = {
  after: text().optional().meta({ description: 'Begin after this cursor; `now`: after all that is there' }),
  resource: text().optional().meta({ description: 'Changes of this resource only' }),
};
const wait = wholeNumber(0, 30).default(0).meta({ description: 'Seconds to wait for a change when there is none' });
const JournalQuery = query({ ...Place, limit: paging.limit, wait });
const StreamQuery = query(Place);
// What was changed together is mostly wanted together.
const TidQuery = query({ ...paging, limit: limit(500) });

const Tid = z.string().meta({ wire: { type: 'integer', minimum: 0, maximum: 999_999_999_999_999 }, examples: [42] });

@Controller('journal')
export class JournalController {
  constructor(
    private readonly queries: QueryBus,
    @Inject(KERNEL) private readonly kernel: Kernel,
    @Inject(STREAMS) private readonly streams: JournalStreams,
  ) {}

  @Get()
  @Allow('journal', 'read')
  @Describe('readJournal', {
    summary: 'Read all changes, in the order of their tids',
    description:
      'From the beginning, or after a cursor; `cursor` in the answer is where to go on. Only changes of what you may read.',
    answers: { 200: JournalAnswer },
  })
  async read(
    @Query({ schema: JournalQuery }) { after, limit, resource, wait }: z.infer<typeof JournalQuery>,
    @CurrentCaller() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const leave = wait > 0 ? this.#admit('poll', caller, reply) : undefined;
    try {
      await checkResource(this.kernel, resource, caller.visibility);
      const position = await positionOf(this.kernel, after);
      const signal = AbortSignal.any([this.streams.closing, closed(reply)]);
      const request = { after: position, limit, resource, wait, signal, visibility: caller.watch() };
      return await this.queries.execute(new ReadJournal(request));
    } finally {
      leave?.();
    }
  }

  @Get('stream')
  @Allow('journal', 'read')
  @Describe('streamJournal', {
    summary: 'Receive all changes as they happen',
    description:
      'Server-sent events: `id` is a cursor, `event` is `<resource>.created`, `.modified` or `.deleted`, `data` is one Change. It begins at the head, or after the last id that the client has seen. A comment line comes every 15 s.',
    headers: { 'Last-Event-ID': 'The id of the last event that was seen: goes before `after`' },
    answers: {
      200: { type: 'text/event-stream', description: 'Changes, until the client goes', example: STREAM_EXAMPLE },
    },
  })
  async stream(
    @Query({ schema: StreamQuery }) { after, resource }: z.infer<typeof StreamQuery>,
    @CurrentCaller() caller: Caller,
    @Headers('last-event-id') lastEventId: string | undefined,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await checkResource(this.kernel, resource, caller.visibility);
    const position = await positionOf(this.kernel, lastEventId || after || 'now');
    if (request.method === 'HEAD') {
      reply.header('Content-Type', 'text/event-stream; charset=utf-8').send();
      return;
    }
    const leave = this.#admit('stream', caller, reply);
    try {
      reply.hijack();
      const about = { user: caller.identity?.user ?? null, ipnr: clientAddress(request) };
      await this.streams.serve(reply.raw, { about, after: position, resource, visibility: caller.watch() });
    } finally {
      leave();
    }
  }

  @Get(':tid')
  @Allow('journal', 'read')
  @Describe('getTid', {
    summary: 'Read the changes of one tid',
    ...{ params: { tid: Tid }, answers: { 200: TidAnswer }, errors: [404] },
  })
  async tid(
    @Param('tid') tid: string,
    @Query({ schema: TidQuery }) page: z.infer<typeof TidQuery>,
    @CurrentCaller() { visibility }: Caller,
  ) {
    if (!/^\d{1,15}$/.test(tid)) throw new KernelError('malformed', `${JSON.stringify(tid)} is not a tid`);
    return this.queries.execute(new GetTid({ tid: Number(tid), ...page, visibility }));
  }

  #admit(kind: 'stream' | 'poll', caller: Caller, reply: FastifyReply): () => void {
    try {
      return this.streams.admit(kind, caller.identity?.user ?? '');
    } catch (error) {
      reply.header('Retry-After', RETRY_AFTER);
      throw error;
    }
  }
}

function closed(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  if (reply.raw.destroyed) gone.abort();
  return gone.signal;
}
