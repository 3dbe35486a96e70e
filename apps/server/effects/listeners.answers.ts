import { z } from 'zod';
import { COUNTED, LATEST } from '#libs/effects';
import { tid } from '../openapi/answer-types.ts';

const upTo = `counted up to ${COUNTED.toLocaleString('en')}`;

const listener = {
  ...{ listener: 'mail', paused: false, position: 42, lag_rows: 0, lag_ms: 0 },
  ...{ pending: 0, failed: 1, parked: 0, done: 41, waiting_ms: 0, last_error: 'connect ECONNREFUSED 192.0.2.25:25' },
  processes: 2,
};

export const ListenerAnswer = z
  .object({
    ...{ listener: z.string(), paused: z.boolean() },
    position: tid().meta({ description: 'Up to this tid all its effects are in the ledger', examples: [42] }),
    lag_rows: z.int().meta({ description: `Changes after the position, ${upTo}` }),
    lag_ms: z.number().meta({ description: 'Milliseconds since the oldest of them' }),
    pending: z.int().meta({ description: `Effects that were not tried yet; with those that have failed ${upTo}` }),
    failed: z.int().meta({ description: 'Effects that have failed and are tried again' }),
    parked: z.int().meta({ description: `Effects that are not tried again before somebody says so, ${upTo}` }),
    done: z.int().meta({ description: `Effects that are done, among its latest ${LATEST.toLocaleString('en')}` }),
    waiting_ms: z.number().meta({ description: 'How long the oldest effect that is due has been waiting' }),
    last_error: z.string().nullable(),
    processes: z.int().meta({ description: 'Living processes that run it' }),
  })
  .meta({ id: 'Listener', description: 'A listener with side effects, in all processes', examples: [listener] });

export const ListenerList = z
  .object({ items: z.array(ListenerAnswer), next: z.null().meta({ description: 'Always null: these are all' }) })
  .meta({ id: 'ListenerList', examples: [{ items: [listener], next: null }] });

export const ListenerPaused = z
  .object({ listener: z.string(), paused: z.boolean() })
  .meta({ id: 'ListenerPaused', examples: [{ listener: 'mail', paused: true }] });

export const ListenerReset = z
  .object({
    listener: z.string(),
    from: tid().meta({ description: 'Where it was', examples: [12] }),
    to: tid().meta({ description: 'Where it is now', examples: [42] }),
  })
  .meta({ id: 'ListenerReset', examples: [{ listener: 'mail', from: 12, to: 42 }] });

export const ListenerRemoved = z
  .object({
    listener: z.string(),
    effects: z.int().meta({ description: 'How many effects that were not done are given up' }),
  })
  .meta({ id: 'ListenerRemoved', examples: [{ listener: 'mail', effects: 3 }] });

export const ListenerName = z
  .string()
  .min(1)
  .meta({ description: 'The name of a listener', examples: ['mail'] });
