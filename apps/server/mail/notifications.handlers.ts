import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Kernel } from '#libs/kernel';
import { getMailWishes, type MailWishes, setMailWishes } from '#libs/listeners';
import type { Mutation } from '../mutation.ts';
import { KERNEL } from '../tokens.ts';

export class GetNotifications extends Query<MailWishes> {
  constructor(readonly user: string) {
    super();
  }
}

@QueryHandler(GetNotifications)
export class GetNotificationsHandler implements IQueryHandler<GetNotifications> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ user }: GetNotifications) {
    return getMailWishes(this.kernel.database, user);
  }
}

export class PutNotifications extends Command<MailWishes> {
  constructor(
    readonly mutation: Mutation,
    readonly wishes: { mail?: boolean | undefined; own_changes?: boolean | undefined },
  ) {
    super();
  }
}

@CommandHandler(PutNotifications)
export class PutNotificationsHandler implements ICommandHandler<PutNotifications> {
  execute({ mutation: { writer, actor }, wishes }: PutNotifications) {
    return setMailWishes(writer.database, actor.author, wishes);
  }
}

export const notificationsHandlers = [GetNotificationsHandler, PutNotificationsHandler];
