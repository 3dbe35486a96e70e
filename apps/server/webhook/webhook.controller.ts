import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import type { Kernel } from '#libs/kernel';
import { HistoryList } from '../journal/journal.answers.ts';
import { CurrentMutation, type Mutation, show, tell, withoutRowVersion } from '../mutation.ts';
import { Describe } from '../openapi/describe.ts';
import { decodeNumberCursor, encodeNameCursor, historyPage, pageOf } from '../paging.ts';
import { Allow } from '../permission.guard.ts';
import { KERNEL } from '../tokens.ts';
import { paging, query } from '../validation.ts';
import {
  RotateInput,
  WebhookAnswer,
  WebhookDeleted,
  WebhookId,
  WebhookInput,
  WebhookList,
  WebhookPatch,
  WebhookSecretAnswer,
} from './webhook.answers.ts';
import {
  CreateWebhook,
  DeleteWebhook,
  GetWebhook,
  GetWebhookHistory,
  ListWebhooks,
  PatchWebhook,
  RotateWebhook,
} from './webhook.handlers.ts';

const PageQuery = query(paging);
const one = { params: { id: WebhookId }, errors: [404] };
const ONCE = 'The secret is shown in this answer only, and in its replays under an Idempotency-Key.';

/** Receivers that are told of changes over HTTP. */
@Controller('webhooks')
export class WebhookController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    @Inject(KERNEL) private readonly kernel: Kernel,
  ) {}

  @Get()
  @Allow('webhook', 'read')
  @Describe('listWebhooks', { summary: 'List webhooks', answers: { 200: WebhookList } })
  async list(@Query({ schema: PageQuery }) { limit, cursor }: z.infer<typeof PageQuery>) {
    const { epoch } = this.kernel;
    const after = cursor === undefined ? undefined : decodeNumberCursor(epoch, cursor, 18);
    const found = await this.queries.execute(new ListWebhooks({ after, limit: limit + 1 }));
    return pageOf(found.map(withoutRowVersion), limit, ({ id }) => encodeNameCursor(epoch, id));
  }

  @Post()
  @Allow('webhook', 'manage')
  @Describe('createWebhook', {
    summary: 'Have a receiver told of changes',
    description: `Of those after this one. Messages are signed by the scheme of Standard Webhooks. ${ONCE}`,
    ...{ versioned: true, answers: { 201: WebhookSecretAnswer } },
  })
  async create(
    @CurrentMutation() mutation: Mutation,
    @Body({ schema: WebhookInput }) input: z.infer<typeof WebhookInput>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { tid, webhook, secret } = await this.commands.execute(new CreateWebhook(mutation, input));
    reply.header('Location', `/webhooks/${webhook.id}`);
    return { ...show(reply, webhook, tid), secret };
  }

  @Get(':id')
  @Allow('webhook', 'read')
  @Describe('getWebhook', {
    summary: 'Read a webhook',
    ...{ ...one, versioned: true, answers: { 200: WebhookAnswer } },
  })
  async get(@Param('id') id: string, @Res({ passthrough: true }) reply: FastifyReply) {
    return show(reply, await this.queries.execute(new GetWebhook(id)));
  }

  @Patch(':id')
  @Allow('webhook', 'manage')
  @Describe('patchWebhook', {
    summary: 'Change a webhook',
    description: 'Fields that are left out stay as they are; a filter is replaced as a whole.',
    ...{ ...one, versioned: true, answers: { 200: WebhookAnswer } },
  })
  async patch(
    @CurrentMutation() mutation: Mutation,
    @Param('id') id: string,
    @Body({ schema: WebhookPatch }) patch: z.infer<typeof WebhookPatch>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { tid, webhook } = await this.commands.execute(new PatchWebhook(mutation, id, patch));
    return show(reply, webhook, tid);
  }

  @Post(':id/rotate')
  @HttpCode(200)
  @Allow('webhook', 'manage')
  @Describe('rotateWebhook', {
    summary: 'Give a webhook a fresh secret',
    description: `For a while the secrets before it sign, too, so that the receiver can change over. ${ONCE}`,
    ...{ ...one, versioned: true, answers: { 200: WebhookSecretAnswer } },
  })
  async rotate(
    @CurrentMutation() mutation: Mutation,
    @Param('id') id: string,
    @Body({ schema: RotateInput }) { overlap }: z.infer<typeof RotateInput>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { tid, webhook, secret } = await this.commands.execute(new RotateWebhook(mutation, id, overlap));
    return { ...show(reply, webhook, tid), secret };
  }

  @Delete(':id')
  @HttpCode(200)
  @Allow('webhook', 'manage')
  @Describe('deleteWebhook', {
    summary: 'Delete a webhook',
    description: 'With its secrets; what was not delivered yet is given up. Its history stays.',
    ...{ ...one, versioned: true, answers: { 200: WebhookDeleted } },
  })
  async delete(
    @CurrentMutation() mutation: Mutation,
    @Param('id') id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const deleted = await this.commands.execute(new DeleteWebhook(mutation, id));
    tell(reply, { tid: deleted.tid });
    return deleted;
  }

  @Get(':id/history')
  @Allow('webhook', 'read')
  @Describe('getWebhookHistory', {
    summary: 'List the changes of a webhook, newest first',
    ...{ ...one, answers: { 200: HistoryList } },
  })
  async history(@Param('id') id: string, @Query({ schema: PageQuery }) { limit, cursor }: z.infer<typeof PageQuery>) {
    return historyPage(this.kernel, limit, cursor, ({ before, limit: most }) =>
      this.queries.execute(new GetWebhookHistory(id, { ...(before && { before: before.tid }), limit: most })),
    );
  }
}
