import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { z } from 'zod';
import { KernelError } from '#libs/database';
import { EFFECT_STATES, effectKey, parseEffectKey } from '#libs/effects';
import type { Kernel } from '#libs/kernel';
import { CurrentMutation, type Mutation } from '../mutation.ts';
import { Describe } from '../openapi/describe.ts';
import { decodeNameCursor, encodeNameCursor, pageOf } from '../paging.ts';
import { Allow } from '../permission.guard.ts';
import { KERNEL } from '../tokens.ts';
import { body, paging, query, text, wholeNumber } from '../validation.ts';
import { EffectKey, EffectList, EffectStoryAnswer, EffectsChanged, State } from './effects.answers.ts';
import { ChangeEffects, GetEffect, ListEffects } from './effects.handlers.ts';

const MOST = 999_999_999;
const HIGHEST_TID = 999_999_999_999_999;
const states = EFFECT_STATES.join(', ');

const ListQuery = query({
  ...paging,
  listener: text().optional().meta({ description: 'Of this listener only' }),
  state: z.enum(EFFECT_STATES, `must be one of ${states}`).optional().meta({ description: 'In this state only' }),
  older_than: wholeNumber(0, MOST).optional().meta({ description: 'Entered so many seconds ago, or longer' }),
  tid: wholeNumber(0, HIGHEST_TID).optional().meta({ description: 'Of the changes of this tid only' }),
  resource: text().optional().meta({ description: 'Of changes of this resource only' }),
  id: text().optional().meta({ description: 'Of changes of rows with this id only' }),
});

const ChangeBody = body({
  key: z.string().optional().meta({ description: 'One effect; without it all that match the other fields' }),
  ...{ listener: z.string().optional(), state: State.optional() },
  older_than: z.int().min(0).max(MOST).optional().meta({ description: 'Entered so many seconds ago, or longer' }),
  tid: z.int().min(0).max(HIGHEST_TID).optional(),
  ...{ resource: z.string().optional(), id: z.string().optional() },
}).meta({ id: 'EffectChoice', examples: [{ listener: 'mail', state: 'parked' }] });

const changed = { answers: { 200: EffectsChanged }, errors: [404] };
const CHOICE = 'One by its key, or all that match; never all there are: choose by something.';

/** Side effects, as the ledger has them. */
@Controller('effects')
export class EffectsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    @Inject(KERNEL) private readonly kernel: Kernel,
  ) {}

  @Get()
  @Allow('effect', 'read')
  @Describe('listEffects', {
    summary: 'List side effects, those of the latest changes first',
    answers: { 200: EffectList },
  })
  async list(@Query({ schema: ListQuery }) { limit, cursor, older_than, ...filter }: z.infer<typeof ListQuery>) {
    const { epoch } = this.kernel;
    const after = cursor === undefined ? undefined : parseEffectKey(decodeNameCursor(epoch, cursor));
    if (cursor !== undefined && !after) throw new KernelError('malformed', 'the cursor is one of another list');
    const found = await this.queries.execute(
      new ListEffects({ ...filter, olderThan: older_than, after, limit: limit + 1 }),
    );
    return pageOf(found, limit, (effect) => encodeNameCursor(epoch, effectKey(effect)));
  }

  @Get(':key')
  @Allow('effect', 'read')
  @Describe('getEffect', {
    summary: 'See all that is known of a side effect',
    description: 'Who made the change, each attempt with its process and its error, what comes next, who has got mail.',
    ...{ params: { key: EffectKey }, answers: { 200: EffectStoryAnswer }, errors: [404] },
  })
  get(@Param('key') key: string) {
    return this.queries.execute(new GetEffect(key));
  }

  @Post('retry')
  @HttpCode(200)
  @Allow('effect', 'manage')
  @Describe('retryEffects', {
    summary: 'Try parked and failed side effects again now',
    description: `As if for the first time. ${CHOICE} What a process is about is left to it.`,
    ...changed,
  })
  retry(@CurrentMutation() mutation: Mutation, @Body({ schema: ChangeBody }) choice: z.infer<typeof ChangeBody>) {
    return this.#change(mutation, 'retry', choice);
  }

  @Post('discard')
  @HttpCode(200)
  @Allow('effect', 'manage')
  @Describe('discardEffects', {
    summary: 'Give up side effects that are not done',
    description: `${CHOICE} What is running comes to its end in vain.`,
    ...changed,
  })
  discard(@CurrentMutation() mutation: Mutation, @Body({ schema: ChangeBody }) choice: z.infer<typeof ChangeBody>) {
    return this.#change(mutation, 'discard', choice);
  }

  #change(
    mutation: Mutation,
    what: 'retry' | 'discard',
    { key, older_than, ...filter }: z.infer<typeof ChangeBody>,
  ): Promise<{ effects: number }> {
    const which = { key, filter: { ...filter, olderThan: older_than } };
    return this.commands.execute(new ChangeEffects(mutation, what, which));
  }
}
