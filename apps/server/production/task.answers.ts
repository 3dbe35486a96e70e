import { z } from 'zod';
import { MAX_BULK, recordKinds } from '#libs/resources';
import { listOf, tid, time } from '../openapi/answer-types.ts';
import { body } from '../validation.ts';
import { commentChanges, taskExample } from './production.routes.ts';
import { recordAnswer, recordId } from './record-schemas.ts';

/** The same as the one of `/tasks`. */
export const TaskAnswer = recordAnswer(recordKinds.task, { id: 'Task', examples: [taskExample] });
export const TaskId = z.string().meta({ description: 'The id of a task', examples: ['7'] });
export const CommentNumber = z.string().meta({ description: 'The number of a comment on the task', examples: ['1'] });

export const TaskStatusBody = body({ ...commentChanges, status: z.string() }).meta({
  id: 'SetTaskStatus',
  examples: [{ status: 'wip', comment: 'I begin' }],
});

export const BulkStatusBody = body({
  updates: z
    .array(body({ task_id: recordId(), status: z.string(), comment: z.string().optional() }))
    .min(1)
    .max(MAX_BULK),
}).meta({ id: 'SetTaskStatuses', examples: [{ updates: [{ task_id: '7', status: 'done' }] }] });

const outcome = { task_id: '7', outcome: 'changed', old_status: 'wip', status: 'done' };

export const BulkStatusAnswer = z
  .object({
    tid: tid().nullable(),
    results: z.array(
      z.object({
        task_id: z.string(),
        outcome: z.enum(['changed', 'unchanged', 'refused']),
        ...{ old_status: z.string().nullable(), status: z.string().nullable() },
        code: z.enum(['not_found', 'forbidden', 'invalid']).optional().meta({ description: 'Why it was refused' }),
        message: z.string().optional(),
      }),
    ),
  })
  .meta({ id: 'SetTaskStatusesResult', examples: [{ tid: 44, results: [outcome] }] });

export const CommentBody = body({
  text: z.string().optional(),
  ...{ status: commentChanges.status, date: commentChanges.date },
}).meta({ id: 'NewTaskComment', examples: [{ text: 'Darker, please', status: 'retake' }] });

export const CommentPatchBody = body({
  text: z.string().optional(),
  status: z.string().nullable().optional().meta({ description: 'Null takes it out: a remark is left' }),
  date: commentChanges.date,
}).meta({ id: 'TaskCommentPatch', examples: [{ text: 'Brighter, please' }] });

const comment = { task_id: '7', number: 1, date: '2026-11-20T09:30:00.000Z', status: 'wip', text: '', author: 'alice' };

export const CommentList = listOf(
  'TaskCommentList',
  z.object({
    ...{ task_id: z.string(), number: z.int(), date: time(), status: z.string().nullable(), text: z.string() },
    author: z.string(),
  }),
  comment,
);

const count = { sequence_id: 'all', task_type: 'all', status: 'all', count: 80 };

export const ProgressAnswer = z
  .object({
    project_id: z.string(),
    items: z.array(
      z.object({
        sequence_id: z.string().nullable().meta({ description: '`all`, or null for what is in none' }),
        ...{ task_type: z.string(), status: z.string(), count: z.int() },
      }),
    ),
  })
  .meta({ id: 'ProjectProgress', examples: [{ project_id: '7', items: [count] }] });
