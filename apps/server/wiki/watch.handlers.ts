import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Kernel } from '#libs/kernel';
import { listWatchedPages, type PageWatch, unwatchPage, watchPage } from '#libs/resources';
import type { Mutation } from '../mutation.ts';
import { KERNEL } from '../tokens.ts';

export class WatchPage extends Command<PageWatch> {
  constructor(
    readonly mutation: Mutation,
    readonly name: string,
  ) {
    super();
  }
}

@CommandHandler(WatchPage)
export class WatchPageHandler implements ICommandHandler<WatchPage> {
  execute({ mutation: { writer, actor }, name }: WatchPage) {
    return watchPage(writer.database, actor.author, name);
  }
}

export class UnwatchPage extends Command<PageWatch> {
  constructor(
    readonly mutation: Mutation,
    readonly name: string,
  ) {
    super();
  }
}

@CommandHandler(UnwatchPage)
export class UnwatchPageHandler implements ICommandHandler<UnwatchPage> {
  execute({ mutation: { writer, actor }, name }: UnwatchPage) {
    return unwatchPage(writer.database, actor.author, name);
  }
}

export class ListWatchedPages extends Query<string[]> {
  constructor(
    readonly user: string,
    readonly range: { after?: string | undefined; limit: number },
  ) {
    super();
  }
}

@QueryHandler(ListWatchedPages)
export class ListWatchedPagesHandler implements IQueryHandler<ListWatchedPages> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ user, range }: ListWatchedPages) {
    return listWatchedPages(this.kernel.database, user, range);
  }
}

export const watchHandlers = [WatchPageHandler, UnwatchPageHandler, ListWatchedPagesHandler];
