import { z } from 'zod';
import { listOf } from '../openapi/answer-types.ts';

const diff = '--- Home\tversion 1\n+++ Home\tversion 2\n@@ -1,1 +1,1 @@\n-Hello\n+Hello, world\n';

export const DiffAnswer = z
  .object({
    name: z.string(),
    from: z.int().meta({ description: 'A version of the text; 0 is the empty text before the first' }),
    to: z.int(),
    diff: z.string().meta({ description: 'Unified; empty when the two are equal' }),
  })
  .meta({ id: 'PageDiff', examples: [{ name: 'Home', from: 1, to: 2, diff }] });

const Link = z
  .object({
    text: z.string().meta({ description: 'What a reader sees' }),
    kind: z.enum(['page', 'interwiki']),
    target: z.string(),
    exists: z.boolean().nullable().meta({ description: 'Whether the page is there; null for another wiki' }),
    url: z.string().nullable().meta({ description: 'Null where there is nothing to go to' }),
  })
  .meta({ id: 'Link' });

export const LinkList = listOf('LinkList', Link, {
  ...{ text: 'the log', kind: 'page', target: 'Log' },
  ...{ exists: true, url: '/wiki/Log' },
});
