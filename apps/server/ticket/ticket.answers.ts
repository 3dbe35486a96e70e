import { z } from 'zod';
import { TEXT_FIELDS, type TextField } from '#libs/resources';
import { ChangeAnswer, causes } from '../journal/journal.answers.ts';
import { listOf, tid, time } from '../openapi/answer-types.ts';
import { exampleOf } from '../openapi/json-schema.ts';

const empty = Object.fromEntries(TEXT_FIELDS.map((name) => [name, ''])) as Record<TextField, ''>;
const fields = Object.fromEntries(TEXT_FIELDS.map((name) => [name, z.string()])) as Record<TextField, z.ZodString>;

const ticket = {
  ...{ id: '7', ...empty, summary: 'The door sticks', type: 'defect', status: 'new', priority: 'major' },
  ...{ owner: 'alice', reporter: 'joe', custom: { floor: 2 }, comments: 1 },
  ...{ created: '2026-11-20T09:30:00.123456Z', changed: '2026-11-20T10:00:00.123456Z', tid: 42 },
};

export const TicketAnswer = z
  .object({
    ...{ id: z.string(), ...fields },
    custom: z.record(z.string(), z.unknown()).meta({ description: 'Fields of your own' }),
    comments: z.int().meta({ description: 'The number of the last comment' }),
    ...{ created: time(), changed: time(), tid: tid() },
  })
  .meta({ id: 'Ticket', description: 'A ticket, and when it was opened and last changed', examples: [ticket] });

export const TicketList = listOf('TicketList', TicketAnswer, ticket);

export const TicketDeleted = z
  .object({ id: z.string(), tid: tid() })
  .meta({ id: 'TicketDeleted', examples: [{ id: '7', tid: 43 }] });

export const TicketBatchAnswer = z
  .object({
    tid: tid().nullable(),
    changed: z.array(z.string()).meta({ description: 'The ids of those that were changed or commented on' }),
    unchanged: z.array(z.string()).meta({ description: 'The ids of those that were so already' }),
  })
  .meta({ id: 'TicketBatchResult', examples: [{ tid: 44, changed: ['7', '9'], unchanged: ['8'] }] });

const commented = {
  ...(exampleOf(ChangeAnswer) as object),
  resource: 'ticket',
  comment: 'It does',
  number: 1,
  causes: [],
};

export const TicketHistory = listOf(
  'TicketHistory',
  z
    .object({
      ...ChangeAnswer.shape,
      number: z.int().nullable().meta({ description: 'Of the comment that came with it, whose text is `comment`' }),
      causes,
    })
    .meta({ id: 'TicketChange' }),
  { ...commented, fields: { comments: { old: 0, new: 1 } } },
);

const Setting = z
  .object({
    field: z.enum(['owner', 'resolution']),
    value: z.string().optional().meta({ description: 'What it becomes' }),
    options: z.array(z.string()).optional().meta({ description: 'What you may choose from' }),
    default: z.string().optional().meta({ description: 'What is chosen when you choose none' }),
  })
  .meta({ description: 'A field that the action sets; with neither value nor options you name it' });

const resolve = {
  ...{ action: 'resolve', label: 'resolve', from: 'new', to: 'closed' },
  sets: [{ field: 'resolution', options: ['fixed', 'wontfix'], default: 'fixed' }],
};

export const TicketActions = z
  .object({
    items: z.array(
      z.object({ action: z.string(), label: z.string(), from: z.string(), to: z.string(), sets: z.array(Setting) }),
    ),
  })
  .meta({ id: 'TicketActions', examples: [{ items: [resolve] }] });

export const TicketId = z.string().meta({ description: 'The number of a ticket', examples: ['7'] });
