import { z } from 'zod';
import { listOf, tid, time } from '../openapi/answer-types.ts';

const page = {
  id: '7',
  name: 'Home',
  version: 2,
  text: 'Hello, world',
  readonly: false,
  author: 'joe',
  time: '2026-11-20T09:30:00.123456Z',
  comment: 'a better beginning',
  tid: 42,
};

export const PageAnswer = z
  .object({
    id: z.string().meta({ description: 'Stays when the page is renamed' }),
    name: z.string(),
    version: z.int().meta({ description: 'Counts the changes of the text' }),
    text: z.string().nullable().meta({ description: 'Null when the contents are no text: see bytes' }),
    bytes: z.string().optional().meta({ description: 'Base64, when the contents are no text', format: 'byte' }),
    readonly: z.boolean(),
    author: z.string().meta({ description: 'Who changed it last' }),
    time: time(),
    comment: z.string().nullable(),
    tid: tid(),
  })
  .meta({ id: 'Page', description: 'A wiki page, and who changed it last', examples: [page] });

export const PageDeleted = z
  .object({ id: z.string(), name: z.string(), tid: tid() })
  .meta({ id: 'PageDeleted', examples: [{ id: '7', name: 'Home', tid: 43 }] });

export const PageNameList = listOf('PageNameList', z.string(), 'Home');

export const PageName = z
  .string()
  .min(1)
  .meta({
    description: 'The name of a page; in the path it is percent-encoded, a slash as %2F (this page does so by itself)',
    examples: ['Home'],
  });
