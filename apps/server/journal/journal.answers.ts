import { z } from 'zod';
import { listOf, tid, time } from '../openapi/answer-types.ts';

const change = {
  tid: 42,
  resource: 'wiki',
  id: '7',
  change: 'MODIFY',
  time: '2026-11-20T09:30:00.123456Z',
  author: 'joe',
  ipnr: '192.0.2.7',
  authenticated: true,
  origin: '0f8f0c52-1f4c-4d0c-9a53-0d2a6f1f9f3e',
  txn: 42,
  comment: 'a better beginning',
  meta: null,
  fields: { text: { old: 'Hello', new: 'Hello, world' }, version: { old: 1, new: 2 } },
};

export const ChangeAnswer = z
  .object({
    tid: tid(),
    resource: z.string(),
    id: z.string().meta({ description: 'The key of the row as text; of a composite one the JSON array of its values' }),
    change: z.string().meta({ description: 'CREATE, MODIFY or DELETE; a resource may add others' }),
    time: time(),
    author: z.string(),
    ipnr: z.string().nullable().meta({ description: 'Where the request came from' }),
    authenticated: z.boolean().nullable(),
    origin: z.string().nullable().meta({ description: 'The process that made it; null for SQL from elsewhere' }),
    txn: tid().meta({ description: 'The first tid of what belongs together', examples: [42] }),
    comment: z.string().nullable(),
    meta: z.record(z.string(), z.unknown()).nullable(),
    fields: z
      .record(z.string(), z.object({ old: z.unknown(), new: z.unknown() }))
      .meta({ description: 'Each changed field. Of a CREATE `old` is null; of a DELETE `new` is null' }),
  })
  .meta({ id: 'Change', description: 'One journaled change of one row', examples: [change] });

const cause = z.object({ tid: tid(), listener: z.string() });

/** What a history tells of a change beside the change. */
export const causes = z
  .array(cause)
  .meta({ description: 'What it is an effect of, by which listener; and that of what, to the beginning of the chain' });

export const HistoryList = listOf(
  'HistoryList',
  z.object({ ...ChangeAnswer.shape, causes }).meta({ id: 'HistoryChange' }),
  { ...change, causes: [] },
);

export const JournalAnswer = z
  .object({
    changes: z.array(ChangeAnswer),
    cursor: z.string().meta({ description: 'Where to go on: give it as `after`' }),
  })
  .meta({ id: 'JournalPage', examples: [{ changes: [change], cursor: 'WyI1ZjBjIiw0Ml0' }] });

export const TidAnswer = z
  .object({
    changes: z.array(ChangeAnswer),
    next: z.string().nullable().meta({ description: 'The cursor of the rest of the tid; null at its end' }),
  })
  .meta({ id: 'ChangesOfTid', examples: [{ changes: [change], next: null }] });

/** What goes over the line in the stream, once a page is modified. */
export const STREAM_EXAMPLE = `id: WyI1ZjBjIiw0Ml0\nevent: wiki.modified\ndata: ${JSON.stringify(change)}\n\n`;
