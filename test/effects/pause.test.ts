import { expect, it } from '@jest/globals';
import { pauseAfter } from '#libs/effects';

const HOURS = 3_600_000;

it('pauses double from a second to four hours, and are spread by a quarter', () => {
  const middle = [1, 2, 3, 14, 15, 20, 1_000].map((attempts) => pauseAfter(attempts, 0, () => 0.5));
  expect(middle).toEqual([1_000, 2_000, 4_000, 8_192_000, 4 * HOURS, 4 * HOURS, 4 * HOURS]);
  expect([0, 1].map((random) => pauseAfter(1, 0, () => random))).toEqual([750, 1_250]);
});

it('a pause that was asked for is kept, up to four hours, and shortens none', () => {
  expect(pauseAfter(1, 90_000, () => 0.5)).toBe(90_000);
  expect(pauseAfter(1, 90 * HOURS, () => 0.5)).toBe(4 * HOURS);
  expect(pauseAfter(8, 1_000, () => 0.5)).toBe(128_000);
});
