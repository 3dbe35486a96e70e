import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Put, Query, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { KernelError } from '#libs/database';
import type { Kernel } from '#libs/kernel';
import { noRecord, projectProgressProjection, recordKinds, type Shown, type TaskEvent } from '#libs/resources';
import { type Caller, CurrentCaller } from '../caller.ts';
import { CurrentMutation, type Mutation, show, tell, withoutRowVersion } from '../mutation.ts';
import { Describe } from '../openapi/describe.ts';
import { decodeNameCursor, encodeNameCursor, pageOf } from '../paging.ts';
import { Allow } from '../permission.guard.ts';
import { ReadsProjections } from '../reads-projections.ts';
import { KERNEL } from '../tokens.ts';
import { paging, query } from '../validation.ts';
import { GetRecord } from './record.handlers.ts';
import {
  BulkStatusAnswer,
  BulkStatusBody,
  CommentBody,
  CommentList,
  CommentNumber,
  CommentPatchBody,
  ProgressAnswer,
  TaskAnswer,
  TaskId,
  TaskStatusBody,
} from './task.answers.ts';
import {
  ChangeComment,
  ChangeStatuses,
  ChangeTask,
  DeleteComment,
  ListComments,
  ReadProgress,
} from './task.handlers.ts';

const BulkQuery = query({
  partial: z
    .enum(['true', 'false'])
    .default('false')
    .meta({ description: 'Change what can be changed, and say of the rest why not' }),
});
const CommentsQuery = query(paging);

const params = { id: TaskId };
const ofComment = { id: TaskId, number: CommentNumber };

/** How tasks come to their statuses: what they have beyond other records. */
@Controller()
export class TaskWorkController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    @Inject(KERNEL) private readonly kernel: Kernel,
  ) {}

  @Put('tasks/bulk/status')
  @Allow('task', 'status')
  @Describe('setTaskStatuses', {
    summary: 'Bring many tasks to a status',
    description: 'All of them or none, under one tid; with `?partial=true` those that can be.',
    answers: { 200: BulkStatusAnswer },
  })
  async changeStatuses(
    @CurrentMutation() mutation: Mutation,
    @Query({ schema: BulkQuery }) { partial }: z.infer<typeof BulkQuery>,
    @Body({ schema: BulkStatusBody }) { updates }: z.infer<typeof BulkStatusBody>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const asked = updates.map(({ task_id, ...update }) => ({ ...update, task_id: String(task_id) }));
    const changed = await this.commands.execute(new ChangeStatuses(mutation, asked, partial === 'true'));
    tell(reply, { tid: changed.tid });
    return changed;
  }

  @Put('tasks/:id/status')
  @Allow('task', 'status')
  @Describe('setTaskStatus', {
    summary: 'Bring a task to a status',
    description: 'The status that it has already changes nothing, unless something is said with it.',
    ...{ params, versioned: true, answers: { 200: TaskAnswer }, errors: [404] },
  })
  async changeStatus(
    @CurrentMutation() mutation: Mutation,
    @Param('id') id: string,
    @Body({ schema: TaskStatusBody }) patch: z.infer<typeof TaskStatusBody>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { tid, task } = await this.commands.execute(new ChangeTask(mutation, id, patch));
    return show(reply, task, tid);
  }

  @Get('tasks/:id/comments')
  @Allow('task', 'read')
  @Describe('listTaskComments', {
    summary: 'List the comments on a task, in the order in which they move it',
    ...{ params, answers: { 200: CommentList }, errors: [404] },
  })
  async comments(
    @Param('id') id: string,
    @Query({ schema: CommentsQuery }) { limit, cursor }: z.infer<typeof CommentsQuery>,
    @CurrentCaller() caller: Caller,
  ) {
    const { epoch } = this.kernel;
    const task = await this.queries.execute(new GetRecord(recordKinds.task, id));
    if (!caller.visibility.mayRead('task_comment', String(task['project_id']))) throw noRecord(recordKinds.task, id);
    const after = cursor === undefined ? undefined : placeOf(epoch, task, cursor);
    const found = await this.queries.execute(new ListComments(task.id, { after, limit: limit + 1 }));
    const page = pageOf(found, limit, ({ date, number }) => encodeNameCursor(epoch, `${task.id} ${date} ${number}`));
    return { ...page, items: page.items.map(withoutRowVersion) };
  }

  @Post('tasks/:id/comments')
  @HttpCode(200)
  @Allow('task', 'status')
  @Describe('commentOnTask', {
    summary: 'Comment on a task',
    description: 'Answers with the task as it is with that comment.',
    ...{ params, versioned: true, answers: { 200: TaskAnswer }, errors: [404] },
  })
  async comment(
    @CurrentMutation() mutation: Mutation,
    @Param('id') id: string,
    @Body({ schema: CommentBody }) { text, ...patch }: z.infer<typeof CommentBody>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { tid, task } = await this.commands.execute(new ChangeTask(mutation, id, { ...patch, comment: text }));
    return show(reply, task, tid);
  }

  @Put('tasks/:id/comments/:number')
  @Allow('task_comment', 'modify')
  @Describe('changeTaskComment', {
    summary: 'Change a comment on a task',
    description:
      'Answers with the task as it would be had the comment been so all along; conditions are about the task.',
    ...{ params: ofComment, versioned: true, answers: { 200: TaskAnswer }, errors: [404] },
  })
  async changeComment(
    @CurrentMutation() mutation: Mutation,
    @Param('id') id: string,
    @Param('number') number: string,
    @Body({ schema: CommentPatchBody }) patch: z.infer<typeof CommentPatchBody>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { tid, task } = await this.commands.execute(new ChangeComment(mutation, id, number, patch));
    return show(reply, task, tid);
  }

  @Delete('tasks/:id/comments/:number')
  @Allow('task_comment', 'delete')
  @Describe('deleteTaskComment', {
    summary: 'Delete a comment on a task',
    description: 'Answers with the task as it is without the comment; conditions are about the task.',
    ...{ params: ofComment, versioned: true, answers: { 200: TaskAnswer }, errors: [404] },
  })
  async deleteComment(
    @CurrentMutation() mutation: Mutation,
    @Param('id') id: string,
    @Param('number') number: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { tid, task } = await this.commands.execute(new DeleteComment(mutation, id, number));
    tell(reply, { tid });
    return withoutRowVersion(task);
  }

  @Get('projects/:id/progress')
  @Allow('project', 'read')
  @ReadsProjections(projectProgressProjection)
  @Describe('getProjectProgress', {
    summary: 'Count the tasks of a project',
    description: 'By sequence, task type and status, with a count for all of each.',
    params: { id: z.string().meta({ description: 'The id of a project', examples: ['7'] }) },
    ...{ answers: { 200: ProgressAnswer }, errors: [404] },
  })
  async progress(@Param('id') id: string, @CurrentCaller() caller: Caller) {
    const project = await this.queries.execute(new GetRecord(recordKinds.project, id));
    if (!caller.visibility.mayRead('project', project.id)) throw noRecord(recordKinds.project, id);
    return { project_id: project.id, items: await this.queries.execute(new ReadProgress(project.id)) };
  }
}

/** The place of a cursor among the comments of a task. */
function placeOf(epoch: string, task: Shown, cursor: string): TaskEvent {
  const [id, date = '', number = ''] = decodeNameCursor(epoch, cursor).split(' ');
  const given = /^\d{1,9}$/.test(number) && /^\d{4}-[-:.\dT]+Z$/.test(date) && !Number.isNaN(Date.parse(date));
  if (id === task.id && given) return { number: Number(number), date, status: null };
  throw new KernelError('malformed', 'the cursor belongs to another list');
}
