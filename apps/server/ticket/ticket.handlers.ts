import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { May, Position } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import {
  type BatchChanged,
  batchTickets,
  createTicket,
  deleteTicket,
  getTicket,
  getTicketActions,
  getTicketAsOf,
  getTicketHistory,
  listTickets,
  type NewTicket,
  type OfferedAction,
  patchTicket,
  type Ticket,
  type TicketBatch,
  type TicketChange,
  type TicketChanged,
  type TicketListOptions,
  type TicketOptions,
  type TicketPatch,
  type Workflow,
} from '#libs/resources';
import type { Mutation } from '../mutation.ts';
import { KERNEL, WORKFLOW } from '../tokens.ts';

/** What tickets are judged by: the server's workflow, and what the caller may do. */
class TicketRules {
  constructor(@Inject(WORKFLOW) private readonly workflow: Workflow) {}

  for(may: May): TicketOptions {
    return { workflow: this.workflow, may: (permission) => may('ticket', permission) };
  }
}

export class CreateTicket extends Command<TicketChanged & { tid: number }> {
  constructor(
    readonly mutation: Mutation,
    readonly input: NewTicket,
  ) {
    super();
  }
}

@CommandHandler(CreateTicket)
export class CreateTicketHandler implements ICommandHandler<CreateTicket> {
  constructor(@Inject(TicketRules) private readonly rules: TicketRules) {}

  execute({ mutation: { writer, actor, condition, may }, input }: CreateTicket) {
    return createTicket(writer, actor, input, condition, this.rules.for(may));
  }
}

export class PatchTicket extends Command<TicketChanged> {
  constructor(
    readonly mutation: Mutation,
    readonly id: string,
    readonly patch: TicketPatch,
  ) {
    super();
  }
}

@CommandHandler(PatchTicket)
export class PatchTicketHandler implements ICommandHandler<PatchTicket> {
  constructor(@Inject(TicketRules) private readonly rules: TicketRules) {}

  execute({ mutation: { writer, actor, condition, may }, id, patch }: PatchTicket) {
    return patchTicket(writer, actor, id, patch, condition, this.rules.for(may));
  }
}

export class DeleteTicket extends Command<{ id: string; tid: number }> {
  constructor(
    readonly mutation: Mutation,
    readonly id: string,
  ) {
    super();
  }
}

@CommandHandler(DeleteTicket)
export class DeleteTicketHandler implements ICommandHandler<DeleteTicket> {
  execute({ mutation: { writer, actor, condition }, id }: DeleteTicket) {
    return deleteTicket(writer, actor, id, condition);
  }
}

export class BatchTickets extends Command<BatchChanged> {
  constructor(
    readonly mutation: Mutation,
    readonly batch: TicketBatch,
  ) {
    super();
  }
}

@CommandHandler(BatchTickets)
export class BatchTicketsHandler implements ICommandHandler<BatchTickets> {
  constructor(@Inject(TicketRules) private readonly rules: TicketRules) {}

  execute({ mutation: { writer, actor, may }, batch }: BatchTickets) {
    return batchTickets(writer, actor, batch, this.rules.for(may));
  }
}

export class GetTicket extends Query<Ticket> {
  constructor(readonly id: string) {
    super();
  }
}

@QueryHandler(GetTicket)
export class GetTicketHandler implements IQueryHandler<GetTicket> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ id }: GetTicket) {
    return getTicket(this.kernel.database, id);
  }
}

export class GetTicketAsOf extends Query<Ticket> {
  constructor(
    readonly id: string,
    readonly asOf: string,
  ) {
    super();
  }
}

@QueryHandler(GetTicketAsOf)
export class GetTicketAsOfHandler implements IQueryHandler<GetTicketAsOf> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ id, asOf }: GetTicketAsOf) {
    return getTicketAsOf(this.kernel.database, id, asOf);
  }
}

export class ListTickets extends Query<{ items: Ticket[]; more: boolean }> {
  constructor(readonly options: TicketListOptions) {
    super();
  }
}

@QueryHandler(ListTickets)
export class ListTicketsHandler implements IQueryHandler<ListTickets> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ options }: ListTickets) {
    return listTickets(this.kernel.db, options);
  }
}

export class GetTicketHistory extends Query<TicketChange[]> {
  constructor(
    readonly id: string,
    readonly options: { before?: Position; limit: number },
  ) {
    super();
  }
}

@QueryHandler(GetTicketHistory)
export class GetTicketHistoryHandler implements IQueryHandler<GetTicketHistory> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ id, options }: GetTicketHistory) {
    return getTicketHistory(this.kernel.database, id, options);
  }
}

export class GetTicketActions extends Query<OfferedAction[]> {
  constructor(
    readonly id: string,
    readonly user: string,
    readonly may: May,
  ) {
    super();
  }
}

@QueryHandler(GetTicketActions)
export class GetTicketActionsHandler implements IQueryHandler<GetTicketActions> {
  constructor(
    @Inject(KERNEL) private readonly kernel: Kernel,
    @Inject(TicketRules) private readonly rules: TicketRules,
  ) {}

  execute({ id, user, may }: GetTicketActions) {
    return getTicketActions(this.kernel.database, id, user, this.rules.for(may));
  }
}

export const ticketHandlers = [
  ...[TicketRules, CreateTicketHandler, PatchTicketHandler, DeleteTicketHandler, BatchTicketsHandler],
  ...[GetTicketHandler, GetTicketAsOfHandler, ListTicketsHandler, GetTicketHistoryHandler, GetTicketActionsHandler],
];
