import { setTimeout as delay } from 'node:timers/promises';

/** For what waits by itself: machines that run tests can be slow, and a test that passes does not wait. */
export const PATIENTLY = { timeout: 30_000 };

/** Waits until a condition holds; fails with what was waited for. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 30_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms in vain until ${what}`);
    await delay(5);
  }
}
