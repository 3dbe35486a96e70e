import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Change, Writer } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import {
  createWebhook,
  deleteWebhook,
  getWebhook,
  getWebhookHistory,
  listWebhooks,
  patchWebhook,
  rotateWebhook,
  type Webhook,
  type WebhookChanged,
  type WebhookInput,
  type WebhookSigned,
} from '#libs/resources';
import { inTransaction, type Mutation } from '../mutation.ts';
import { KERNEL, WEBHOOKS } from '../tokens.ts';
import type { Webhooks } from './webhooks.ts';

/** What webhooks are changed with: an open transaction, and what their input is judged by. */
class WebhookWork {
  constructor(
    @Inject(KERNEL) private readonly kernel: Kernel,
    @Inject(WEBHOOKS) private readonly webhooks: Webhooks,
  ) {}

  get rules() {
    return this.webhooks.rules;
  }

  run<T>(mutation: Mutation, work: (tx: Writer) => Promise<T>): Promise<T> {
    return inTransaction(this.kernel, mutation, work);
  }
}

export class CreateWebhook extends Command<WebhookSigned> {
  constructor(
    readonly mutation: Mutation,
    readonly input: WebhookInput,
  ) {
    super();
  }
}

@CommandHandler(CreateWebhook)
export class CreateWebhookHandler implements ICommandHandler<CreateWebhook> {
  constructor(@Inject(WebhookWork) private readonly work: WebhookWork) {}

  execute({ mutation, input }: CreateWebhook) {
    const { actor, condition } = mutation;
    return this.work.run(mutation, (tx) => createWebhook(tx, actor, input, this.work.rules, condition));
  }
}

export class PatchWebhook extends Command<WebhookChanged> {
  constructor(
    readonly mutation: Mutation,
    readonly id: string,
    readonly patch: WebhookInput,
  ) {
    super();
  }
}

@CommandHandler(PatchWebhook)
export class PatchWebhookHandler implements ICommandHandler<PatchWebhook> {
  constructor(@Inject(WebhookWork) private readonly work: WebhookWork) {}

  execute({ mutation, id, patch }: PatchWebhook) {
    const { actor, condition } = mutation;
    return this.work.run(mutation, (tx) => patchWebhook(tx, actor, id, patch, this.work.rules, condition));
  }
}

export class RotateWebhook extends Command<WebhookSigned> {
  constructor(
    readonly mutation: Mutation,
    readonly id: string,
    /** Seconds. */
    readonly overlap: number | undefined,
  ) {
    super();
  }
}

@CommandHandler(RotateWebhook)
export class RotateWebhookHandler implements ICommandHandler<RotateWebhook> {
  constructor(@Inject(WebhookWork) private readonly work: WebhookWork) {}

  execute({ mutation, id, overlap }: RotateWebhook) {
    const { actor, condition } = mutation;
    return this.work.run(mutation, (tx) => rotateWebhook(tx, actor, id, overlap, condition));
  }
}

export class DeleteWebhook extends Command<{ id: string; tid: number; effects: number }> {
  constructor(
    readonly mutation: Mutation,
    readonly id: string,
  ) {
    super();
  }
}

@CommandHandler(DeleteWebhook)
export class DeleteWebhookHandler implements ICommandHandler<DeleteWebhook> {
  constructor(@Inject(WebhookWork) private readonly work: WebhookWork) {}

  execute({ mutation, id }: DeleteWebhook) {
    const { actor, condition } = mutation;
    return this.work.run(mutation, (tx) => deleteWebhook(tx, actor, id, condition));
  }
}

export class GetWebhook extends Query<Webhook> {
  constructor(readonly id: string) {
    super();
  }
}

@QueryHandler(GetWebhook)
export class GetWebhookHandler implements IQueryHandler<GetWebhook> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ id }: GetWebhook) {
    return getWebhook(this.kernel.database, id);
  }
}

export class ListWebhooks extends Query<Webhook[]> {
  constructor(readonly range: { after?: string | undefined; limit: number }) {
    super();
  }
}

@QueryHandler(ListWebhooks)
export class ListWebhooksHandler implements IQueryHandler<ListWebhooks> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ range }: ListWebhooks) {
    return listWebhooks(this.kernel.database, range);
  }
}

export class GetWebhookHistory extends Query<Change[]> {
  constructor(
    readonly id: string,
    readonly options: { before?: number; limit: number },
  ) {
    super();
  }
}

@QueryHandler(GetWebhookHistory)
export class GetWebhookHistoryHandler implements IQueryHandler<GetWebhookHistory> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ id, options }: GetWebhookHistory) {
    return getWebhookHistory(this.kernel.database, id, options);
  }
}

export const webhookHandlers = [
  ...[WebhookWork, CreateWebhookHandler, PatchWebhookHandler, RotateWebhookHandler, DeleteWebhookHandler],
  ...[GetWebhookHandler, ListWebhooksHandler, GetWebhookHistoryHandler],
];
