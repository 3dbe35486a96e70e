import { expect, it } from '@jest/globals';
import { unifiedDiff } from '../../libs/resources/wiki/unified-diff.ts';

const versions = ['version 1', 'version 2'] as const;
const large = Array.from({ length: 10_000 }, (_, n) => `line ${n}\n`).join('');

it('large diffs take turns; when too many wait, more are refused, and none afterwards', async () => {
  const request = { name: 'Page', before: large, after: `${large}more\n`, versions };
  const all = await Promise.allSettled(Array.from({ length: 20 }, () => unifiedDiff(request)));
  const made = all.filter((each) => each.status === 'fulfilled');
  expect(made).toHaveLength(16);
  expect(made.every(({ value }) => value?.endsWith(' line 9999\n+more\n'))).toBe(true);
  expect(all.filter((each) => each.status === 'rejected').map(({ reason }) => reason.code)).toEqual(
    Array(4).fill('unavailable'),
  );
  expect(await unifiedDiff(request)).toContain('+more');
});

it('a small diff waits for no large one, unless it takes long itself', async () => {
  const slow = unifiedDiff({ name: 'Page', before: large, after: large.replaceAll('line', 'row'), versions });
  const order: string[] = [];
  await Promise.all([
    slow.then(() => order.push('large')),
    unifiedDiff({ name: 'Page', before: 'a\n', after: 'b\n', versions }).then(() => order.push('small')),
  ]);
  expect(order).toEqual(['small', 'large']);
  const before = Array.from({ length: 20_000 }, (_, n) => n % 7).join('\n');
  const after = Array.from({ length: 20_000 }, (_, n) => (n * n) % 5).join('\n');
  const started = performance.now();
  const running = unifiedDiff({ name: 'Page', before, after, versions });
  expect(performance.now() - started).toBeLessThan(2_000);
  await running;
});
