import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Put, Query, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { KernelError } from '#libs/database';
import type { Kernel } from '#libs/kernel';
import { HistoryList } from '../journal/journal.answers.ts';
import { CurrentMutation, type Mutation, show, tell, withoutRowVersion } from '../mutation.ts';
import { Describe } from '../openapi/describe.ts';
import { decodeNameCursor, encodeNameCursor, historyPage, pageOf } from '../paging.ts';
import { Allow } from '../permission.guard.ts';
import { KERNEL } from '../tokens.ts';
import { asOf, body, paging, query, text, wholeNumber } from '../validation.ts';
import { PageAnswer, PageDeleted, PageName, PageNameList } from './wiki.answers.ts';
import {
  DeletePage,
  GetPage,
  GetPageAsOf,
  GetPageHistory,
  GetPageVersion,
  ListPages,
  PutPage,
  RenamePage,
} from './wiki.handlers.ts';

const PutBody = body({
  text: z.string(),
  comment: z.string().max(10_000).optional(),
  readonly: z.boolean().optional(),
}).meta({ id: 'PageInput', examples: [{ text: 'Hello, world', comment: 'a better beginning' }] });
const RenameBody = body({ to: z.string(), redirect: z.boolean().optional() }).meta({
  id: 'PageRename',
  examples: [{ to: 'Start', redirect: true }],
});
const PageQuery = query({
  version: wholeNumber(1, 2_147_483_647).optional().meta({ description: 'As it was at this version of its text' }),
  as_of: asOf(),
});
const ListQuery = query({ ...paging, prefix: text().optional().meta({ description: 'What names begin with' }) });
const HistoryQuery = query(paging);

const params = { name: PageName };

@Controller('wiki')
export class WikiController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    @Inject(KERNEL) private readonly kernel: Kernel,
  ) {}

  @Get()
  @Allow('wiki', 'read')
  @Describe('listPages', { summary: 'List the names of pages', answers: { 200: PageNameList } })
  async list(@Query({ schema: ListQuery }) { prefix, limit, cursor }: z.infer<typeof ListQuery>) {
    const { epoch } = this.kernel;
    const after = cursor === undefined ? {} : { after: decodeNameCursor(epoch, cursor) };
    const options = { ...(prefix === undefined ? {} : { prefix }), ...after, limit: limit + 1 };
    const names = await this.queries.execute(new ListPages(options));
    return pageOf(names, limit, (name) => encodeNameCursor(epoch, name));
  }

  @Put(':name')
  @Allow('wiki', 'create', 'modify')
  @Describe('putPage', {
    summary: 'Write a page',
    description: 'Creates it (201) or changes it (200). A field that is left out stays as it is.',
    ...{ params, versioned: true, answers: { 200: PageAnswer, 201: PageAnswer } },
  })
  async put(
    @CurrentMutation() mutation: Mutation,
    @Param('name') name: string,
    @Body({ schema: PutBody }) input: z.infer<typeof PutBody>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { created, tid, page } = await this.commands.execute(new PutPage(mutation, name, input));
    reply.code(created ? 201 : 200);
    if (created) reply.header('Location', `/wiki/${encodeURIComponent(name)}`);
    return show(reply, page, tid);
  }

  @Get(':name')
  @Allow('wiki', 'read')
  @Describe('getPage', {
    summary: 'Read a page',
    ...{ params, versioned: true, answers: { 200: PageAnswer }, errors: [404] },
  })
  async get(
    @Param('name') name: string,
    @Query({ schema: PageQuery }) { version, as_of }: z.infer<typeof PageQuery>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    if (version !== undefined && as_of !== undefined) {
      throw new KernelError('invalid', 'give version or as_of, not both');
    }
    if (version !== undefined) {
      return withoutRowVersion(await this.queries.execute(new GetPageVersion(name, version)));
    }
    if (as_of !== undefined) return withoutRowVersion(await this.queries.execute(new GetPageAsOf(name, as_of)));
    return show(reply, await this.queries.execute(new GetPage(name)));
  }

  @Delete(':name')
  @Allow('wiki', 'delete')
  @Describe('deletePage', {
    summary: 'Delete a page',
    description: 'Its history stays.',
    ...{ params, versioned: true, answers: { 200: PageDeleted }, errors: [404] },
  })
  async delete(
    @CurrentMutation() mutation: Mutation,
    @Param('name') name: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { id, tid } = await this.commands.execute(new DeletePage(mutation, name));
    tell(reply, { tid });
    return { id, name, tid };
  }

  @Post(':name/rename')
  @Allow('wiki', 'rename')
  @Describe('renamePage', {
    summary: 'Give a page another name',
    description: 'Its history stays with it. With `redirect` a page that points to the new name takes the old one.',
    ...{ params, versioned: true, answers: { 200: PageAnswer }, errors: [404] },
  })
  @HttpCode(200)
  async rename(
    @CurrentMutation() mutation: Mutation,
    @Param('name') name: string,
    @Body({ schema: RenameBody }) target: z.infer<typeof RenameBody>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { tid, page } = await this.commands.execute(new RenamePage(mutation, name, target));
    return show(reply, page, tid);
  }

  @Get(':name/history')
  @Allow('wiki', 'read')
  @Describe('getPageHistory', {
    summary: 'List the changes of a page, newest first',
    description: 'Of a name that was used more than once: the changes of the page that bears it, or bore it last.',
    ...{ params, answers: { 200: HistoryList }, errors: [404] },
  })
  async history(
    @Param('name') name: string,
    @Query({ schema: HistoryQuery }) { limit, cursor }: z.infer<typeof HistoryQuery>,
  ) {
    return historyPage(this.kernel, limit, cursor, ({ before, limit: most }) =>
      this.queries.execute(new GetPageHistory(name, { ...(before && { before: before.tid }), limit: most })),
    );
  }
}
