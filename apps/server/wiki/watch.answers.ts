import { z } from 'zod';

export const WatchAnswer = z
  .object({ name: z.string(), watching: z.boolean() })
  .meta({ id: 'PageWatch', examples: [{ name: 'Home', watching: true }] });
