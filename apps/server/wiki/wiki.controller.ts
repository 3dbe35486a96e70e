import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Put, Query, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { KernelError } from '#libs/database';
import type { Actor } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import type { Page } from '#libs/resources';
import { CurrentActor } from '../identity.ts';
import { decodeNameCursor, encodeNameCursor, historyPage, pageOf } from '../paging.ts';
import { KERNEL } from '../tokens.ts';
import { body, paging, query, text, wholeNumber } from '../validation.ts';
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
});
const RenameBody = body({ to: z.string(), redirect: z.boolean().optional() });
const PageQuery = query({ version: wholeNumber(1, 2_147_483_647).optional(), as_of: text().optional() });
const ListQuery = query({ ...paging, prefix: text().optional() });
const HistoryQuery = query(paging);

@Controller('wiki')
export class WikiController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    @Inject(KERNEL) private readonly kernel: Kernel,
  ) {}

  @Get()
  async list(@Query({ schema: ListQuery }) { prefix, limit, cursor }: z.infer<typeof ListQuery>) {
    const { epoch } = this.kernel;
    const after = cursor === undefined ? {} : { after: decodeNameCursor(epoch, cursor) };
    const options = { ...(prefix === undefined ? {} : { prefix }), ...after, limit: limit + 1 };
    const names = await this.queries.execute(new ListPages(options));
    return pageOf(names, limit, (name) => encodeNameCursor(epoch, name));
  }

  @Put(':name')
  async put(
    @CurrentActor() actor: Actor,
    @Param('name') name: string,
    @Body({ schema: PutBody }) input: z.infer<typeof PutBody>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { created, tid, page } = await this.commands.execute(new PutPage(actor, name, input));
    reply.code(created ? 201 : 200);
    if (created) reply.header('Location', `/wiki/${encodeURIComponent(name)}`);
    return show(reply, page, tid);
  }

  @Get(':name')
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
  async delete(
    @CurrentActor() actor: Actor,
    @Param('name') name: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { id, tid } = await this.commands.execute(new DeletePage(actor, name));
    reply.header('Tidemark-Tid', tid);
    return { id, name, tid };
  }

  @Post(':name/rename')
  @HttpCode(200)
  async rename(
    @CurrentActor() actor: Actor,
    @Param('name') name: string,
    @Body({ schema: RenameBody }) target: z.infer<typeof RenameBody>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { tid, page } = await this.commands.execute(new RenamePage(actor, name, target));
    return show(reply, page, tid);
  }

  @Get(':name/history')
  async history(
    @Param('name') name: string,
    @Query({ schema: HistoryQuery }) { limit, cursor }: z.infer<typeof HistoryQuery>,
  ) {
    return historyPage(this.kernel, limit, cursor, (options) =>
      this.queries.execute(new GetPageHistory(name, options)),
    );
  }
}

function show(reply: FastifyReply, page: Page, tid: number | null = null) {
  if (tid !== null) reply.header('Tidemark-Tid', tid);
  reply.header('ETag', `"${page.id}-${page.row_version}"`);
  return withoutRowVersion(page);
}

function withoutRowVersion({ row_version: _, ...page }: Page) {
  return page;
}
