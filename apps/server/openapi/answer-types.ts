import { z } from 'zod';

/** The number of a journaled transaction. */
export const tid = () =>
  z
    .int()
    .min(0)
    .meta({ description: 'The number of a journaled transaction', examples: [42] });

/** A moment, as PostgreSQL knows it: to the microsecond. */
export const time = () => z.string().meta({ format: 'date-time', examples: ['2026-11-20T09:30:00.123456Z'] });

/** A page of a list. */
export function listOf(id: string, item: z.ZodType, example: unknown) {
  return z
    .object({
      items: z.array(item),
      next: z.string().nullable().meta({ description: 'The cursor of the next page; null at the end' }),
    })
    .meta({ id, examples: [{ items: [example], next: null }] });
}
