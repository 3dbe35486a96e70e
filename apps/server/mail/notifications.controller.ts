import { Body, Controller, Get, HttpCode, Put } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { z } from 'zod';
import type { Identity } from '#libs/access';
import { CurrentIdentity } from '../identity.ts';
import { CurrentMutation, type Mutation } from '../mutation.ts';
import { Describe } from '../openapi/describe.ts';
import { Allow } from '../permission.guard.ts';
import { body } from '../validation.ts';
import { GetNotifications, PutNotifications } from './notifications.handlers.ts';

const example = { mail: true, own_changes: false };
const mail = z.boolean().meta({ description: 'Whether you want mail at all' });
const ownChanges = z.boolean().meta({ description: 'Also about changes that you have made' });

const PutBody = body({ mail: mail.optional(), own_changes: ownChanges.optional() }).meta({
  id: 'NotificationsInput',
  examples: [{ mail: false }],
});

const NotificationsAnswer = z
  .object({
    ...{ mail, own_changes: ownChanges },
    address: z.string().nullable().meta({ description: 'Where it goes; null while you have none' }),
  })
  .meta({ id: 'Notifications', examples: [{ ...example, address: 'joe@example.org' }] });

const described = { answers: { 200: NotificationsAnswer }, errors: [404] };

/** Which mail one wants. */
@Controller('me/notifications')
export class NotificationsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Get()
  @Allow('user', 'own')
  @Describe('getNotifications', { summary: 'See which mail you get', ...described })
  get(@CurrentIdentity() identity: Identity) {
    return this.queries.execute(new GetNotifications(identity.user));
  }

  @Put()
  @HttpCode(200)
  @Allow('user', 'own')
  @Describe('putNotifications', {
    summary: 'Say which mail you want',
    description: 'A field that is left out stays as it is.',
    ...described,
  })
  put(@CurrentMutation() mutation: Mutation, @Body({ schema: PutBody }) wishes: z.infer<typeof PutBody>) {
    return this.commands.execute(new PutNotifications(mutation, wishes));
  }
}
