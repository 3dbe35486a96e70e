import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type ListenerRow, listListeners, pauseListener, removeListener, resetListener } from '#libs/effects';
import type { Kernel } from '#libs/kernel';
import { inTransaction, type Mutation } from '../mutation.ts';
import { KERNEL } from '../tokens.ts';

export class ListListeners extends Query<ListenerRow[]> {}

@QueryHandler(ListListeners)
export class ListListenersHandler implements IQueryHandler<ListListeners> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute() {
    return listListeners(this.kernel.database);
  }
}

export class PauseListener extends Command<{ listener: string; paused: boolean }> {
  constructor(
    readonly mutation: Mutation,
    readonly listener: string,
    readonly paused: boolean,
  ) {
    super();
  }
}

@CommandHandler(PauseListener)
export class PauseListenerHandler implements ICommandHandler<PauseListener> {
  async execute({ mutation: { writer }, listener, paused }: PauseListener) {
    await pauseListener(writer.database, listener, paused);
    return { listener, paused };
  }
}

export class ResetListener extends Command<{ listener: string; from: number; to: number }> {
  constructor(
    readonly mutation: Mutation,
    readonly listener: string,
    readonly to: 'head' | 'beginning' | number,
  ) {
    super();
  }
}

@CommandHandler(ResetListener)
export class ResetListenerHandler implements ICommandHandler<ResetListener> {
  async execute({ mutation: { writer }, listener, to }: ResetListener) {
    return { listener, ...(await resetListener(writer.database, listener, to)) };
  }
}

export class RemoveListener extends Command<{ listener: string; effects: number }> {
  constructor(
    readonly mutation: Mutation,
    readonly listener: string,
  ) {
    super();
  }
}

@CommandHandler(RemoveListener)
export class RemoveListenerHandler implements ICommandHandler<RemoveListener> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  async execute({ mutation, listener }: RemoveListener) {
    const effects = await inTransaction(this.kernel, mutation, ({ database }) =>
      removeListener(database, listener, true),
    );
    return { listener, effects };
  }
}

export const listenersHandlers = [
  ...[ListListenersHandler, PauseListenerHandler, ResetListenerHandler, RemoveListenerHandler],
];
