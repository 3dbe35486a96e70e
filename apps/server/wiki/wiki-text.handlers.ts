import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Cache } from '#libs/dispatch';
import type { Kernel } from '#libs/kernel';
import {
  getPageDiff,
  getPageLinks,
  type InterMapState,
  type LinkPlace,
  type PageDiff,
  type PageLinks,
  type PageNames,
} from '#libs/resources';
import { INTER_MAP, KERNEL, PAGE_NAMES } from '../tokens.ts';

export class GetPageDiff extends Query<PageDiff> {
  constructor(
    readonly name: string,
    readonly versions: { from?: number | undefined; to?: number | undefined },
  ) {
    super();
  }
}

@QueryHandler(GetPageDiff)
export class GetPageDiffHandler implements IQueryHandler<GetPageDiff> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ name, versions }: GetPageDiff) {
    return getPageDiff(this.kernel.database, name, versions);
  }
}

export class GetPageLinks extends Query<PageLinks> {
  constructor(
    readonly name: string,
    readonly options: { from?: LinkPlace | undefined; limit: number; mayCreate: boolean },
  ) {
    super();
  }
}

@QueryHandler(GetPageLinks)
export class GetPageLinksHandler implements IQueryHandler<GetPageLinks> {
  constructor(
    @Inject(KERNEL) private readonly kernel: Kernel,
    @Inject(PAGE_NAMES) private readonly names: Cache<PageNames>,
    @Inject(INTER_MAP) private readonly interMap: Cache<InterMapState>,
  ) {}

  execute({ name, options }: GetPageLinks) {
    const caches = { names: this.names.state, interMap: this.interMap.state };
    return getPageLinks(this.kernel.database, name, { ...caches, ...options });
  }
}

export const wikiTextHandlers = [GetPageDiffHandler, GetPageLinksHandler];
