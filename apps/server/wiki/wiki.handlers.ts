import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Cache } from '#libs/dispatch';
import type { Change } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import {
  deletePage,
  getPage,
  getPageAsOf,
  getPageHistory,
  getPageVersion,
  type Page,
  type PageChanged,
  type PageInput,
  type PageNames,
  putPage,
  renamePage,
} from '#libs/resources';
import type { Mutation } from '../mutation.ts';
import { KERNEL, PAGE_NAMES } from '../tokens.ts';

export class PutPage extends Command<PageChanged & { created: boolean }> {
  constructor(
    readonly mutation: Mutation,
    readonly name: string,
    readonly input: PageInput,
  ) {
    super();
  }
}

@CommandHandler(PutPage)
export class PutPageHandler implements ICommandHandler<PutPage> {
  execute({ mutation: { writer, actor, condition, may }, name, input }: PutPage) {
    return putPage(writer, actor, name, input, condition, may('wiki', 'protect'));
  }
}

export class DeletePage extends Command<{ id: string; tid: number }> {
  constructor(
    readonly mutation: Mutation,
    readonly name: string,
  ) {
    super();
  }
}

@CommandHandler(DeletePage)
export class DeletePageHandler implements ICommandHandler<DeletePage> {
  execute({ mutation: { writer, actor, condition, may }, name }: DeletePage) {
    return deletePage(writer, actor, name, condition, may('wiki', 'protect'));
  }
}

export class RenamePage extends Command<PageChanged & { tid: number }> {
  constructor(
    readonly mutation: Mutation,
    readonly name: string,
    readonly target: { to: string; redirect?: boolean | undefined },
  ) {
    super();
  }
}

@CommandHandler(RenamePage)
export class RenamePageHandler implements ICommandHandler<RenamePage> {
  execute({ mutation: { writer, actor, condition, may }, name, target }: RenamePage) {
    return renamePage(writer, actor, name, target, condition, may('wiki', 'protect'));
  }
}

export class GetPage extends Query<Page> {
  constructor(readonly name: string) {
    super();
  }
}

@QueryHandler(GetPage)
export class GetPageHandler implements IQueryHandler<GetPage> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ name }: GetPage) {
    return getPage(this.kernel.database, name);
  }
}

export class GetPageVersion extends Query<Page> {
  constructor(
    readonly name: string,
    readonly version: number,
  ) {
    super();
  }
}

@QueryHandler(GetPageVersion)
export class GetPageVersionHandler implements IQueryHandler<GetPageVersion> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ name, version }: GetPageVersion) {
    return getPageVersion(this.kernel.database, name, version);
  }
}

export class GetPageAsOf extends Query<Page> {
  constructor(
    readonly name: string,
    readonly asOf: string,
  ) {
    super();
  }
}

@QueryHandler(GetPageAsOf)
export class GetPageAsOfHandler implements IQueryHandler<GetPageAsOf> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ name, asOf }: GetPageAsOf) {
    return getPageAsOf(this.kernel.database, name, asOf);
  }
}

export class GetPageHistory extends Query<Change[]> {
  constructor(
    readonly name: string,
    readonly options: { before?: number; limit: number },
  ) {
    super();
  }
}

@QueryHandler(GetPageHistory)
export class GetPageHistoryHandler implements IQueryHandler<GetPageHistory> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ name, options }: GetPageHistory) {
    return getPageHistory(this.kernel.database, name, options);
  }
}

export class ListPages extends Query<string[]> {
  constructor(readonly options: { prefix?: string; after?: string; limit: number }) {
    super();
  }
}

@QueryHandler(ListPages)
export class ListPagesHandler implements IQueryHandler<ListPages> {
  constructor(@Inject(PAGE_NAMES) private readonly names: Cache<PageNames>) {}

  async execute({ options }: ListPages) {
    return this.names.state.list(options);
  }
}

export const wikiHandlers = [
  PutPageHandler,
  DeletePageHandler,
  RenamePageHandler,
  GetPageHandler,
  GetPageVersionHandler,
  GetPageAsOfHandler,
  GetPageHistoryHandler,
  ListPagesHandler,
];
