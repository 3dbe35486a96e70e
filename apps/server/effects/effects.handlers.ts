import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import {
  changeEffects,
  type EffectChange,
  type EffectFilter,
  type EffectId,
  type EffectRow,
  type EffectStory,
  findEffect,
  listEffects,
  parseEffectKey,
} from '#libs/effects';
import type { Kernel } from '#libs/kernel';
import { listMailed, type MailedRow } from '#libs/listeners';
import type { Mutation } from '../mutation.ts';
import { KERNEL } from '../tokens.ts';

export class ListEffects extends Query<EffectRow[]> {
  constructor(readonly options: EffectFilter & { after?: EffectId | undefined; limit: number }) {
    super();
  }
}

@QueryHandler(ListEffects)
export class ListEffectsHandler implements IQueryHandler<ListEffects> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ options }: ListEffects) {
    return listEffects(this.kernel.database, options);
  }
}

export class GetEffect extends Query<EffectStory & { mails: MailedRow[] }> {
  constructor(readonly key: string) {
    super();
  }
}

@QueryHandler(GetEffect)
export class GetEffectHandler implements IQueryHandler<GetEffect> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  async execute({ key }: GetEffect) {
    const story = await findEffect(this.kernel.database, key);
    return { ...story, mails: await listMailed(this.kernel.database, parseEffectKey(key) as EffectId) };
  }
}

export class ChangeEffects extends Command<{ effects: number }> {
  constructor(
    readonly mutation: Mutation,
    readonly what: 'retry' | 'discard',
    readonly which: EffectChange,
  ) {
    super();
  }
}

@CommandHandler(ChangeEffects)
export class ChangeEffectsHandler implements ICommandHandler<ChangeEffects> {
  async execute({ mutation: { writer }, what, which }: ChangeEffects) {
    return { effects: await changeEffects(writer.database, what, which) };
  }
}

export const effectsHandlers = [ListEffectsHandler, GetEffectHandler, ChangeEffectsHandler];
