import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import {
  listTokens,
  listUsers,
  revokeToken,
  type Token,
  type TokenRange,
  type User,
  type UserRange,
} from '#libs/access';
import type { Kernel } from '#libs/kernel';
import type { Mutation } from '../mutation.ts';
import { KERNEL } from '../tokens.ts';

export class ListUsers extends Query<User[]> {
  constructor(readonly range: UserRange) {
    super();
  }
}

@QueryHandler(ListUsers)
export class ListUsersHandler implements IQueryHandler<ListUsers> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ range }: ListUsers) {
    return listUsers(this.kernel.database, range);
  }
}

export class ListTokens extends Query<Token[]> {
  constructor(readonly range: TokenRange) {
    super();
  }
}

@QueryHandler(ListTokens)
export class ListTokensHandler implements IQueryHandler<ListTokens> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ range }: ListTokens) {
    return listTokens(this.kernel.database, range);
  }
}

export class RevokeToken extends Command<Token> {
  constructor(
    readonly mutation: Mutation,
    readonly id: string,
    readonly user: string | undefined,
  ) {
    super();
  }
}

@CommandHandler(RevokeToken)
export class RevokeTokenHandler implements ICommandHandler<RevokeToken> {
  execute({ mutation: { writer }, id, user }: RevokeToken) {
    return revokeToken(writer.database, id, user);
  }
}

export const accessHandlers = [ListUsersHandler, ListTokensHandler, RevokeTokenHandler];
