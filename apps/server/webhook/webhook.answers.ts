import { z } from 'zod';
import { listOf, tid, time } from '../openapi/answer-types.ts';
import { body } from '../validation.ts';

const url = 'https://hooks.example.org/tidemark';
const filter = { resources: ['ticket', 'ticket_comment'], fields: null, project: null };
const webhook = {
  ...{ id: '3', url, description: 'tells the chat', filter, enabled: true, listener: 'webhook-3' },
  secrets: [{ number: 1, created: '2026-11-20T09:30:00.123456Z', expires: null }],
};
const secret = 'whsec_6wd2fQzq0d0mZ2uXkQm0o7p9l5kHc1b3v8nYtJrSxEo=';

const urlField = z.string().meta({ description: 'Where messages are posted to: http:// or https://' });
const enabled = z.boolean().meta({ description: 'Changes that are made while it is false are not told later' });
const resources = z.array(z.string()).meta({ description: 'Of which resources it is told' });
const fields = z
  .array(z.string())
  .nullable()
  .meta({ description: 'Only changes of these fields, creations and deletions; null: of any' });
const project = z
  .string()
  .nullable()
  .meta({ description: 'Only changes of rows that belong to this project; null: of all' });

const FilterInput = body({ resources, fields: fields.optional(), project: project.optional() }).meta({
  id: 'WebhookFilterInput',
});

export const WebhookInput = body({
  url: urlField,
  description: z.string().optional(),
  filter: FilterInput,
  enabled: enabled.optional(),
}).meta({ id: 'WebhookInput', examples: [{ url, filter: { resources: ['ticket'], fields: ['status'] } }] });

export const WebhookPatch = body({
  url: urlField.optional(),
  description: z.string().optional(),
  filter: FilterInput.optional(),
  enabled: enabled.optional(),
}).meta({ id: 'WebhookPatch', examples: [{ enabled: false }] });

const MOST = 30 * 86_400;
export const RotateInput = body({
  overlap: z
    .int()
    .min(0)
    .max(MOST)
    .optional()
    .meta({ description: 'For how many seconds the secrets before go on signing; a day unless given' }),
}).meta({ id: 'WebhookRotation', examples: [{ overlap: 3_600 }] });

const shown = {
  ...{ id: z.string(), url: urlField, description: z.string() },
  filter: z.object({ resources, fields, project }).meta({ id: 'WebhookFilter' }),
  enabled,
  listener: z.string().meta({ description: 'What its listener is called: see /effects and /listeners' }),
  secrets: z
    .array(
      z.object({
        number: z.int(),
        created: time(),
        expires: time().nullable().meta({ description: 'Null: until the next rotation' }),
      }),
    )
    .meta({ description: 'Those that sign, the newest first, without their texts' }),
};

export const WebhookAnswer = z
  .object(shown)
  .meta({ id: 'Webhook', description: 'A receiver that is told of changes', examples: [webhook] });

export const WebhookSecretAnswer = z
  .object({
    ...shown,
    secret: z.string().meta({ description: 'What messages are to be verified with. Shown only here' }),
  })
  .meta({ id: 'WebhookSecret', description: 'A webhook and its fresh secret', examples: [{ ...webhook, secret }] });

export const WebhookList = listOf('WebhookList', WebhookAnswer, webhook);

export const WebhookDeleted = z
  .object({
    ...{ id: z.string(), tid: tid() },
    effects: z.int().meta({ description: 'How many messages that were not delivered yet were given up' }),
  })
  .meta({ id: 'WebhookDeleted', examples: [{ id: '3', tid: 43, effects: 0 }] });

export const WebhookId = z.string().meta({ description: 'The id of a webhook', examples: ['3'] });
