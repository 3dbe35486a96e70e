import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Kernel } from '#libs/kernel';
import {
  type BulkChanged,
  type CommentChanged,
  type CommentPatch,
  changeComment,
  changeStatuses,
  changeTask,
  deleteComment,
  listComments,
  type ProgressRow,
  readProgress,
  type StatusUpdate,
  type TaskChanged,
  type TaskComment,
  type TaskEvent,
  type TaskPatch,
} from '#libs/resources';
import type { Mutation } from '../mutation.ts';
import { KERNEL } from '../tokens.ts';

export class ChangeTask extends Command<TaskChanged> {
  constructor(
    readonly mutation: Mutation,
    readonly id: string,
    readonly patch: TaskPatch,
  ) {
    super();
  }
}

@CommandHandler(ChangeTask)
export class ChangeTaskHandler implements ICommandHandler<ChangeTask> {
  execute({ mutation: { writer, actor, ...options }, id, patch }: ChangeTask) {
    return changeTask(writer, actor, id, patch, options);
  }
}

export class ChangeStatuses extends Command<BulkChanged> {
  constructor(
    readonly mutation: Mutation,
    readonly updates: readonly StatusUpdate[],
    readonly partial: boolean,
  ) {
    super();
  }
}

@CommandHandler(ChangeStatuses)
export class ChangeStatusesHandler implements ICommandHandler<ChangeStatuses> {
  execute({ mutation: { writer, actor, may }, updates, partial }: ChangeStatuses) {
    return changeStatuses(writer, actor, updates, { may, partial });
  }
}

export class ChangeComment extends Command<CommentChanged> {
  constructor(
    readonly mutation: Mutation,
    readonly id: string,
    readonly number: string,
    readonly patch: CommentPatch,
  ) {
    super();
  }
}

@CommandHandler(ChangeComment)
export class ChangeCommentHandler implements ICommandHandler<ChangeComment> {
  execute({ mutation: { writer, actor, ...options }, id, number, patch }: ChangeComment) {
    return changeComment(writer, actor, id, number, patch, options);
  }
}

export class DeleteComment extends Command<CommentChanged> {
  constructor(
    readonly mutation: Mutation,
    readonly id: string,
    readonly number: string,
  ) {
    super();
  }
}

@CommandHandler(DeleteComment)
export class DeleteCommentHandler implements ICommandHandler<DeleteComment> {
  execute({ mutation: { writer, actor, ...options }, id, number }: DeleteComment) {
    return deleteComment(writer, actor, id, number, options);
  }
}

export class ListComments extends Query<TaskComment[]> {
  constructor(
    readonly taskId: string,
    readonly options: { after?: TaskEvent | undefined; limit: number },
  ) {
    super();
  }
}

@QueryHandler(ListComments)
export class ListCommentsHandler implements IQueryHandler<ListComments> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ taskId, options }: ListComments) {
    return listComments(this.kernel.database, taskId, options);
  }
}

export class ReadProgress extends Query<ProgressRow[]> {
  constructor(readonly projectId: string) {
    super();
  }
}

@QueryHandler(ReadProgress)
export class ReadProgressHandler implements IQueryHandler<ReadProgress> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ projectId }: ReadProgress) {
    return readProgress(this.kernel.database, projectId);
  }
}

export const taskHandlers = [
  ...[ChangeTaskHandler, ChangeStatusesHandler, ChangeCommentHandler, DeleteCommentHandler],
  ...[ListCommentsHandler, ReadProgressHandler],
];
