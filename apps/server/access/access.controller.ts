import { Controller, Delete, Get, HttpCode, Inject, Param, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { z } from 'zod';
import type { Kernel } from '#libs/kernel';
import { type Caller, CurrentCaller } from '../caller.ts';
import { CurrentMutation, type Mutation } from '../mutation.ts';
import { Describe } from '../openapi/describe.ts';
import { decodeNameCursor, decodeNumberCursor, encodeNameCursor, pageOf } from '../paging.ts';
import { Allow } from '../permission.guard.ts';
import { KERNEL } from '../tokens.ts';
import { paging, query, text } from '../validation.ts';
import { MeAnswer, TokenAnswer, TokenId, TokenList, UserList } from './access.answers.ts';
import { ListTokens, ListUsers, RevokeToken } from './access.handlers.ts';

const ListQuery = query(paging);
const TokenQuery = query({ ...paging, user: text().optional().meta({ description: 'Whose; yours unless given' }) });

/**
 * Who one is, and what tokens there are. Tokens are made, and users added, by the command line only: what makes a token over HTTP could be
 * kept, with its text, by whatever keeps answers.
 */
@Controller()
export class AccessController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    @Inject(KERNEL) private readonly kernel: Kernel,
  ) {}

  @Get('me')
  @Allow('user', 'own')
  @Describe('getMe', { summary: 'See who you are, and which roles you have', answers: { 200: MeAnswer } })
  me(@CurrentCaller() { identity }: Caller) {
    return { user: identity?.user, roles: identity?.roles, projects: Object.fromEntries(identity?.projects ?? []) };
  }

  @Get('users')
  @Allow('user', 'manage')
  @Describe('listUsers', { summary: 'List users and their roles', answers: { 200: UserList } })
  async users(@Query({ schema: ListQuery }) { limit, cursor }: z.infer<typeof ListQuery>) {
    const { epoch } = this.kernel;
    const after = cursor === undefined ? undefined : decodeNameCursor(epoch, cursor);
    const found = await this.queries.execute(new ListUsers({ after, limit: limit + 1 }));
    return pageOf(found, limit, ({ name }) => encodeNameCursor(epoch, name));
  }

  /** One's own; another user's for who may manage them. */
  @Get('tokens')
  @Allow('token', 'own')
  @Describe('listTokens', {
    summary: 'List your tokens, or those of another user',
    description: 'Those of another user need the permission token:manage.',
    answers: { 200: TokenList },
  })
  async tokens(
    @Query({ schema: TokenQuery }) { user, limit, cursor }: z.infer<typeof TokenQuery>,
    @CurrentCaller() caller: Caller,
  ) {
    const own = caller.identity?.user;
    if (user !== undefined && user !== own) caller.check('token', 'manage');
    const { epoch } = this.kernel;
    const after = cursor === undefined ? undefined : Number(decodeNumberCursor(epoch, cursor, 15));
    const found = await this.queries.execute(new ListTokens({ user: user ?? own, after, limit: limit + 1 }));
    return pageOf(found, limit, ({ id }) => encodeNameCursor(epoch, String(id)));
  }

  /** Another's is as unknown as one that does not exist, but to who may manage them. */
  @Delete('tokens/:id')
  @HttpCode(200)
  @Allow('token', 'own')
  @Describe('revokeToken', {
    summary: 'Revoke a token',
    description: "Another's is as unknown as one that does not exist, but to who may manage them.",
    ...{ params: { id: TokenId }, answers: { 200: TokenAnswer }, errors: [404] },
  })
  revoke(@CurrentMutation() mutation: Mutation, @Param('id') id: string, @CurrentCaller() { identity, may }: Caller) {
    const user = may('token', 'manage') ? undefined : identity?.user;
    return this.commands.execute(new RevokeToken(mutation, id, user));
  }
}
