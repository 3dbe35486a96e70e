import { z } from 'zod';
import { EFFECT_STATES } from '#libs/effects';
import { listOf, tid, time } from '../openapi/answer-types.ts';

const KEY = '42:ticket:7:mail';
const process = 'tidemark on one (4711)';
const at = '2026-11-20T09:30:00.123456Z';
const error = 'connect ECONNREFUSED 192.0.2.25:25';

const effect = {
  ...{ key: KEY, listener: 'mail', tid: 42, resource: 'ticket', id: '7', state: 'done', running: false, attempts: 2 },
  ...{ due: null, ran_by: process, last_error: null, origin: '0f8f0c52-1f4c-4d0c-9a53-0d2a6f1f9f3e' },
  ...{ created: at, started: '2026-11-20T09:30:01.204117Z', finished: '2026-11-20T09:30:01.310552Z' },
};

export const State = z.enum(EFFECT_STATES);

const fields = {
  key: z.string().meta({ description: 'tid:resource:id:listener: what a receiver is given at every attempt' }),
  ...{ listener: z.string(), tid: tid(), resource: z.string(), id: z.string(), state: State },
  running: z.boolean().meta({ description: 'Whether a living process has it' }),
  attempts: z.int(),
  due: time().nullable().meta({ description: 'When it is tried, or tried again; null for what is not' }),
  ran_by: z.string().nullable().meta({ description: 'The process of the last attempt: name, host and pid' }),
  last_error: z.string().nullable(),
  origin: z.string().nullable().meta({ description: 'The process that made the change; null for SQL from elsewhere' }),
  ...{ created: time(), started: time().nullable(), finished: time().nullable() },
};

export const EffectAnswer = z
  .object(fields)
  .meta({ id: 'Effect', description: 'A side effect of a change', examples: [effect] });

export const EffectList = listOf('EffectList', EffectAnswer, effect);

const Past = z.object({
  what: z.enum(['failed', 'lost', 'retried']).meta({
    description:
      'lost: its process was not heard of again, and another took over; retried: somebody had it tried again',
  }),
  ...{ at: time(), by: z.string().nullable(), started: time().nullable(), error: z.string().nullable() },
});

const Mail = z.object({
  recipient: z.string(),
  refused: z.string().nullable().meta({ description: 'Why it will never be taken; null: it was' }),
  at: time(),
});

export const EffectStoryAnswer = z
  .object({
    ...fields,
    author: z.string().nullable().meta({ description: 'Who made the change' }),
    time: time().nullable().meta({ description: 'When the change was made' }),
    made_by: z.string().nullable().meta({ description: 'The process that made it, while that lives' }),
    past: z.array(Past).meta({ description: 'The attempts before the last one, the first one first' }),
    mails: z.array(Mail).meta({ description: 'Who has got mail through it' }),
  })
  .meta({
    id: 'EffectStory',
    description: 'A side effect with all that is known of it',
    examples: [
      {
        ...effect,
        ...{ author: 'joe', time: at, made_by: process },
        past: [{ what: 'failed', at: '2026-11-20T09:30:00.204117Z', by: process, started: at, error }],
        mails: [{ recipient: 'ann@example.org', refused: null, at: '2026-11-20T09:30:01.310Z' }],
      },
    ],
  });

export const EffectsChanged = z
  .object({ effects: z.int().meta({ description: 'How many' }) })
  .meta({ id: 'EffectsChanged', examples: [{ effects: 3 }] });

export const EffectKey = z
  .string()
  .min(1)
  .meta({ description: 'tid:resource:id:listener, percent-encoded in the path', examples: [KEY] });
