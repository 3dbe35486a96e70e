import { z } from 'zod';
import { COUNTED } from '#libs/projection';
import { ListenerAnswer } from '../effects/listeners.answers.ts';
import { tid, time } from '../openapi/answer-types.ts';

const text = () => z.string().nullable();

const FloorHolder = z.object({
  floor: tid(),
  pid: z.int().nullable(),
  gid: text(),
  application: text(),
  user: text(),
  state: text(),
  since: time().nullable(),
  query: text(),
});

const Process = z.object({
  origin: z.uuid(),
  name: z.string(),
  host: z.string(),
  pid: z.int(),
  version: z.string(),
  started: time(),
  seen: time(),
  position: tid(),
});

const Projection = z.object({
  name: z.string(),
  version: z.int().meta({ description: 'Of the definition that has made its rows; 0 while there are none' }),
  tid: tid().meta({ description: 'Its rows reflect every change up to this tid', examples: [42] }),
  lag_rows: z.int().meta({ description: `Changes after it, counted up to ${COUNTED.toLocaleString('en')}` }),
  lag_ms: z.number().meta({ description: 'Milliseconds since the oldest of them' }),
  owner: z.uuid().nullable().meta({ description: 'The living process that has applied changes last' }),
  failing: z.boolean().meta({ description: 'Whether changes cannot be applied' }),
  failed: time().nullable(),
  error: text(),
  rebuilding: tid().nullable().meta({ description: 'The tid that a rebuild under way has reached' }),
});

const origin = '0f8f0c52-1f4c-4d0c-9a53-0d2a6f1f9f3e';
const at = '2026-11-20T09:30:00.123456Z';

export const StatusAnswer = z
  .object({
    head: tid().meta({ description: 'The highest tid ever drawn', examples: [42] }),
    safe: tid().meta({ description: 'Up to here nothing can appear any more', examples: [42] }),
    floor_holders: z.array(FloorHolder).meta({ description: 'Open transactions that hold the tail; the first most' }),
    processes: z.array(Process),
    process: z.object({
      origin: z.uuid(),
      tail: z.enum(['stopped', 'running', 'failing']),
      position: tid(),
      last_error: text(),
      doorbell: z.object({
        state: z.enum(['stopped', 'connecting', 'listening', 'down']),
        connects: z.int(),
        last_error: text(),
      }),
    }),
    listeners: z.array(
      z.object({ name: z.string(), position: tid(), delivered: z.int(), failed: z.int(), last_error: text() }),
    ),
    effects: z
      .array(ListenerAnswer)
      .meta({ description: 'Listeners with side effects, and how many of these stand where, in all processes' }),
    projections: z.array(Projection).meta({ description: 'Derived tables, in all processes' }),
    caches: z.array(
      z.object({
        name: z.string(),
        state: z.enum(['loading', 'loaded', 'broken']),
        position: z.int(),
        loads: z.int(),
        last_error: text(),
      }),
    ),
  })
  .meta({
    id: 'Status',
    examples: [
      {
        ...{ head: 42, safe: 42, floor_holders: [] },
        processes: [
          { origin, name: 'tidemark', host: 'one', pid: 4711, version: '0.1.0', started: at, seen: at, position: 42 },
        ],
        process: {
          ...{ origin, tail: 'running', position: 42, last_error: null },
          doorbell: { state: 'listening', connects: 1, last_error: null },
        },
        listeners: [],
        effects: [],
        projections: [
          {
            ...{ name: 'project_progress', version: 1, tid: 42, lag_rows: 0, lag_ms: 0, owner: origin },
            ...{ failing: false, failed: null, error: null, rebuilding: null },
          },
        ],
        caches: [{ name: 'page names', state: 'loaded', position: 42, loads: 1, last_error: null }],
      },
    ],
  });
