import { Body, Controller, Delete, Get, HttpCode, Param, Post } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { z } from 'zod';
import { CurrentMutation, type Mutation } from '../mutation.ts';
import { Describe } from '../openapi/describe.ts';
import { Allow } from '../permission.guard.ts';
import { body } from '../validation.ts';
import { ListenerList, ListenerName, ListenerPaused, ListenerRemoved, ListenerReset } from './listeners.answers.ts';
import { ListListeners, PauseListener, RemoveListener, ResetListener } from './listeners.handlers.ts';

const Place = z
  .union([z.enum(['head', 'beginning']), z.int().min(0).max(999_999_999_999_999)], 'must be head, beginning or a tid')
  .meta({ description: 'head: after all that is there; beginning; or a tid' });
const ResetBody = body({ to: Place }).meta({ id: 'ListenerPlace', examples: [{ to: 'head' }] });

const named = { params: { name: ListenerName }, errors: [404] };

/** Listeners with side effects. */
@Controller('listeners')
export class ListenersController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Get()
  @Allow('listener', 'read')
  @Describe('listListeners', {
    summary: 'List the listeners with side effects, where they stand and what they have to do',
    answers: { 200: ListenerList },
  })
  async list() {
    return { items: await this.queries.execute(new ListListeners()), next: null };
  }

  @Post(':name/pause')
  @HttpCode(200)
  @Allow('listener', 'manage')
  @Describe('pauseListener', {
    summary: 'Begin no more side effects of a listener, in any process',
    description: 'What runs comes to its end. What is to be done is entered, and waits.',
    ...{ ...named, answers: { 200: ListenerPaused } },
  })
  pause(@CurrentMutation() mutation: Mutation, @Param('name') name: string) {
    return this.commands.execute(new PauseListener(mutation, name, true));
  }

  @Post(':name/resume')
  @HttpCode(200)
  @Allow('listener', 'manage')
  @Describe('resumeListener', {
    summary: 'Go on with the side effects of a listener',
    ...{ ...named, answers: { 200: ListenerPaused } },
  })
  resume(@CurrentMutation() mutation: Mutation, @Param('name') name: string) {
    return this.commands.execute(new PauseListener(mutation, name, false));
  }

  @Post(':name/reset')
  @HttpCode(200)
  @Allow('listener', 'manage')
  @Describe('resetListener', {
    summary: 'Set the position of a listener',
    description:
      'What it passes over has no effects. What it goes back to gets those that are not in the ledger; what is there is never repeated.',
    ...{ ...named, answers: { 200: ListenerReset } },
  })
  reset(
    @CurrentMutation() mutation: Mutation,
    @Param('name') name: string,
    @Body({ schema: ResetBody }) { to }: z.infer<typeof ResetBody>,
  ) {
    return this.commands.execute(new ResetListener(mutation, name, to));
  }

  @Delete(':name')
  @HttpCode(200)
  @Allow('listener', 'manage')
  @Describe('removeListener', {
    summary: 'Forget a listener that no process has any more',
    description:
      'Its position is forgotten, and its effects that are not done are given up; those that are done stay as long as others. Refused (409) while a living process has it.',
    ...{ ...named, answers: { 200: ListenerRemoved } },
  })
  remove(@CurrentMutation() mutation: Mutation, @Param('name') name: string) {
    return this.commands.execute(new RemoveListener(mutation, name));
  }
}
