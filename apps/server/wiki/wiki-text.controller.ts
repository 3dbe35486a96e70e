import { Controller, Get, Headers, Inject, Param, Query, Res } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import { KernelError } from '#libs/database';
import type { Kernel } from '#libs/kernel';
import type { LinkPlace } from '#libs/resources';
import { preferredType } from '../accept.ts';
import { type Caller, CurrentCaller } from '../caller.ts';
import { Describe } from '../openapi/describe.ts';
import { decodeNameCursor, encodeNameCursor } from '../paging.ts';
import { Allow } from '../permission.guard.ts';
import { KERNEL } from '../tokens.ts';
import { limit, paging, query, wholeNumber } from '../validation.ts';
import { PageName } from './wiki.answers.ts';
import { DiffAnswer, LinkList } from './wiki-text.answers.ts';
import { GetPageDiff, GetPageLinks } from './wiki-text.handlers.ts';

const version = () => wholeNumber(0, 2_147_483_647).optional();
const DiffQuery = query({
  from: version().meta({ description: 'A version of the text; the one before `to` when left out' }),
  to: version().meta({ description: 'A version of the text; the current one when left out' }),
});
// Whoever shows a page wants its links at once.
const LinksQuery = query({ ...paging, limit: limit(500) });

const params = { name: PageName };

/** What is worked out from the texts of pages: what has changed in them, and where they link to. */
@Controller('wiki')
export class WikiTextController {
  constructor(
    private readonly queries: QueryBus,
    @Inject(KERNEL) private readonly kernel: Kernel,
  ) {}

  @Get(':name/diff')
  @Allow('wiki', 'read')
  @Describe('getPageDiff', {
    summary: 'Compare two versions of a page',
    description: 'With `Accept: text/x-diff` or `text/plain` the answer is the unified diff alone.',
    ...{ params, answers: { 200: DiffAnswer }, errors: [404] },
  })
  async diff(
    @Param('name') name: string,
    @Query({ schema: DiffQuery }) versions: z.infer<typeof DiffQuery>,
    @Headers('accept') accept: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const answer = await this.queries.execute(new GetPageDiff(name, versions));
    const type = preferredType(accept, ['application/json', 'text/x-diff', 'text/plain']);
    reply.header('Vary', 'Accept');
    if (type === 'application/json') return answer;
    reply.header('Content-Type', `${type}; charset=utf-8`);
    return answer.diff;
  }

  @Get(':name/links')
  @Allow('wiki', 'read')
  @Describe('listPageLinks', {
    summary: 'List where a page links to',
    description: 'In the order of the text. A cursor belongs to the version of the page that it was given out for.',
    ...{ params, answers: { 200: LinkList }, errors: [404] },
  })
  async links(
    @Param('name') name: string,
    @Query({ schema: LinksQuery }) { limit, cursor }: z.infer<typeof LinksQuery>,
    @CurrentCaller() { may }: Caller,
  ) {
    const { epoch } = this.kernel;
    const mayCreate = may('wiki', 'create');
    const from = cursor === undefined ? undefined : placeOf(decodeNameCursor(epoch, cursor));
    const { items, next } = await this.queries.execute(new GetPageLinks(name, { from, limit, mayCreate }));
    return { items, next: next ? encodeNameCursor(epoch, `${next.version}:${next.skip}`) : null };
  }
}

function placeOf(text: string): LinkPlace {
  const [, version, skip] = /^(\d{1,9}):(\d{1,9})$/.exec(text) ?? [];
  if (version === undefined) throw new KernelError('malformed', 'the cursor is not one of this list');
  return { version: Number(version), skip: Number(skip) };
}
