import { Controller, Delete, Get, HttpCode, Inject, Param, Put, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { z } from 'zod';
import type { Identity } from '#libs/access';
import type { Kernel } from '#libs/kernel';
import { CurrentIdentity } from '../identity.ts';
import { CurrentMutation, type Mutation } from '../mutation.ts';
import { Describe } from '../openapi/describe.ts';
import { decodeNameCursor, encodeNameCursor, pageOf } from '../paging.ts';
import { Allow } from '../permission.guard.ts';
import { KERNEL } from '../tokens.ts';
import { paging, query } from '../validation.ts';
import { WatchAnswer } from './watch.answers.ts';
import { ListWatchedPages, UnwatchPage, WatchPage } from './watch.handlers.ts';
import { PageName, PageNameList } from './wiki.answers.ts';

const ListQuery = query(paging);
const described = { params: { name: PageName }, answers: { 200: WatchAnswer }, errors: [404] };

/** Which pages one watches: whoever does gets mail of their changes. Nothing of it is journaled. */
@Controller()
export class WatchController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    @Inject(KERNEL) private readonly kernel: Kernel,
  ) {}

  @Put('wiki/:name/watch')
  @HttpCode(200)
  @Allow('wiki', 'watch')
  @Describe('watchPage', {
    summary: 'Get mail of the changes of a page',
    description: 'Whatever it is renamed to, until it is deleted. Nothing of it is journaled.',
    ...described,
  })
  watch(@CurrentMutation() mutation: Mutation, @Param('name') name: string) {
    return this.commands.execute(new WatchPage(mutation, name));
  }

  @Delete('wiki/:name/watch')
  @HttpCode(200)
  @Allow('wiki', 'watch')
  @Describe('unwatchPage', { summary: 'Get no more mail of the changes of a page', ...described })
  unwatch(@CurrentMutation() mutation: Mutation, @Param('name') name: string) {
    return this.commands.execute(new UnwatchPage(mutation, name));
  }

  @Get('me/watches')
  @Allow('wiki', 'watch')
  @Describe('listWatchedPages', { summary: 'List the names of the pages you watch', answers: { 200: PageNameList } })
  async list(
    @Query({ schema: ListQuery }) { limit, cursor }: z.infer<typeof ListQuery>,
    @CurrentIdentity() identity: Identity,
  ) {
    const { epoch } = this.kernel;
    const after = cursor === undefined ? undefined : decodeNameCursor(epoch, cursor);
    const names = await this.queries.execute(new ListWatchedPages(identity.user, { after, limit: limit + 1 }));
    return pageOf(names, limit, (name) => encodeNameCursor(epoch, name));
  }
}
