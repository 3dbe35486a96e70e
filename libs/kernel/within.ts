import { setTimeout as delay } from 'node:timers/promises';

const LIMIT = 30_000;

/** What a plugin's own code comes to. When that takes more than 30 seconds, throws the refusal. */
export async function within<T>(work: T | Promise<T>, refusal: () => Error): Promise<T> {
  const waiting = new AbortController();
  const late = delay(LIMIT, undefined, { signal: waiting.signal }).then(() => {
    throw refusal();
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    waiting.abort();
    late.catch(() => undefined);
  }
}
