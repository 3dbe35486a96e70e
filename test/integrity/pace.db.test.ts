import { expect, test } from '@jest/globals';
import type { Check } from '#libs/integrity';
import { Schedule } from '../../libs/integrity/schedule.ts';
import { boxes } from '../projection/boxes.ts';

test.each([
  [50, 50, 1_000],
  [1_000, 200, 200],
])(
  'with a budget of %i rows a second %i of many are looked at, and the next after %i ms',
  async (rowsPerSecond, page, pause) => {
    const all = await boxes();
    try {
      const kernel = all.kernel();
      const limits: number[] = [];
      const check = {
        ...{ name: 'many', resource: 'box', whole: false },
        find: async ({ limit }: { limit: number }) => {
          limits.push(limit);
          return { found: [], rows: limit, next: 'more' };
        },
      } as unknown as Check;
      const schedule = new Schedule({
        ...{ database: all.app, atomic: (work) => kernel.atomic(work as never), checks: async () => [check] },
        ...{ log: all.log, rowsPerSecond, actor: { author: 'joe' } },
      });
      expect([await schedule.runOnce(), limits]).toEqual([pause, [page]]);
    } finally {
      await all.close();
    }
  },
);
