import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import type { Kernel } from '#libs/kernel';
import { placeOf } from '#libs/resources';
import { type Caller, CurrentCaller } from '../caller.ts';
import { CurrentMutation, type Mutation, show, tell, withoutRowVersion } from '../mutation.ts';
import { Describe } from '../openapi/describe.ts';
import { historyPage } from '../paging.ts';
import { Allow } from '../permission.guard.ts';
import { KERNEL } from '../tokens.ts';
import { asOf, paging, query } from '../validation.ts';
import {
  TicketActions,
  TicketAnswer,
  TicketBatchAnswer,
  TicketDeleted,
  TicketHistory,
  TicketId,
  TicketList,
} from './ticket.answers.ts';
import {
  BatchTickets,
  CreateTicket,
  DeleteTicket,
  GetTicket,
  GetTicketActions,
  GetTicketAsOf,
  GetTicketHistory,
  ListTickets,
  PatchTicket,
} from './ticket.handlers.ts';
import { decodeTicketCursor, encodeTicketCursor } from './ticket-cursor.ts';
import { listOf, NewTicketBody, TicketBatchBody, TicketListQuery, TicketPatchBody } from './ticket-schemas.ts';

const TicketQuery = query({ as_of: asOf() });
const HistoryQuery = query(paging);

const params = { id: TicketId };

@Controller('tickets')
export class TicketController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    @Inject(KERNEL) private readonly kernel: Kernel,
  ) {}

  @Get()
  @Allow('ticket', 'read')
  @Describe('listTickets', {
    summary: 'List tickets',
    description:
      'Those that meet all filters; one that is given several times is met by any of its values. Also `custom.<name>=<value>`.',
    answers: { 200: TicketList },
  })
  async list(@Query({ schema: TicketListQuery }) asked: z.infer<typeof TicketListQuery>) {
    const { epoch } = this.kernel;
    const { limit, cursor } = asked;
    const list = listOf(asked);
    const after = cursor === undefined ? undefined : decodeTicketCursor(epoch, list, cursor);
    const { items, more } = await this.queries.execute(new ListTickets({ ...list, after, limit }));
    const last = more ? items.at(-1) : undefined;
    const next = last ? encodeTicketCursor(epoch, list, placeOf(last, list.sort)) : null;
    return { items: items.map(withoutRowVersion), next };
  }

  @Post()
  @Allow('ticket', 'create')
  @Describe('createTicket', { summary: 'Open a ticket', versioned: true, answers: { 201: TicketAnswer } })
  async create(
    @CurrentMutation() mutation: Mutation,
    @Body({ schema: NewTicketBody }) input: z.infer<typeof NewTicketBody>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { tid, ticket } = await this.commands.execute(new CreateTicket(mutation, input));
    reply.header('Location', `/tickets/${ticket.id}`);
    return show(reply, ticket, tid);
  }

  @Post('batch')
  @HttpCode(200)
  @Allow('ticket', 'batch')
  @Describe('batchTickets', {
    summary: 'Change many tickets at once',
    description: 'All of them or none, under one tid.',
    answers: { 200: TicketBatchAnswer },
  })
  async batch(
    @CurrentMutation() mutation: Mutation,
    @Body({ schema: TicketBatchBody }) { ids, ...batch }: z.infer<typeof TicketBatchBody>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const all = { ...batch, ids: ids.map(String) };
    const changed = await this.commands.execute(new BatchTickets(mutation, all));
    tell(reply, { tid: changed.tid });
    return changed;
  }

  @Get(':id')
  @Allow('ticket', 'read')
  @Describe('getTicket', {
    summary: 'Read a ticket',
    ...{ params, versioned: true, answers: { 200: TicketAnswer }, errors: [404] },
  })
  async get(
    @Param('id') id: string,
    @Query({ schema: TicketQuery }) { as_of }: z.infer<typeof TicketQuery>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    if (as_of !== undefined) return withoutRowVersion(await this.queries.execute(new GetTicketAsOf(id, as_of)));
    return show(reply, await this.queries.execute(new GetTicket(id)));
  }

  @Patch(':id')
  @Allow('ticket', 'modify')
  @Describe('patchTicket', {
    summary: 'Change a ticket, or comment on it',
    description:
      'Fields that are left out stay as they are. `action` takes one of those that GET /tickets/{id}/actions offers.',
    ...{ params, versioned: true, answers: { 200: TicketAnswer }, errors: [404] },
  })
  async patch(
    @CurrentMutation() mutation: Mutation,
    @Param('id') id: string,
    @Body({ schema: TicketPatchBody }) input: z.infer<typeof TicketPatchBody>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { tid, ticket } = await this.commands.execute(new PatchTicket(mutation, id, input));
    return show(reply, ticket, tid);
  }

  @Delete(':id')
  @Allow('ticket', 'delete')
  @Describe('deleteTicket', {
    summary: 'Delete a ticket',
    description: 'Its history stays.',
    ...{ params, versioned: true, answers: { 200: TicketDeleted }, errors: [404] },
  })
  async delete(
    @CurrentMutation() mutation: Mutation,
    @Param('id') id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const deleted = await this.commands.execute(new DeleteTicket(mutation, id));
    tell(reply, { tid: deleted.tid });
    return deleted;
  }

  @Get(':id/history')
  @Allow('ticket', 'read')
  @Describe('getTicketHistory', {
    summary: 'List the changes of a ticket and its comments, newest first',
    ...{ params, answers: { 200: TicketHistory }, errors: [404] },
  })
  async history(
    @Param('id') id: string,
    @Query({ schema: HistoryQuery }) { limit, cursor }: z.infer<typeof HistoryQuery>,
  ) {
    return historyPage(this.kernel, limit, cursor, (options) =>
      this.queries.execute(new GetTicketHistory(id, options)),
    );
  }

  @Get(':id/actions')
  @Allow('ticket', 'read')
  @Describe('getTicketActions', {
    summary: 'List what you may do with a ticket as it stands',
    ...{ params, answers: { 200: TicketActions }, errors: [404] },
  })
  async actions(@Param('id') id: string, @CurrentCaller() { identity, may }: Caller) {
    return { items: await this.queries.execute(new GetTicketActions(id, identity?.user ?? 'anonymous', may)) };
  }
}
