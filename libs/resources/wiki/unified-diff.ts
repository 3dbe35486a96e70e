import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { KernelError } from '#libs/database';
import { type DiffRequest, makeDiff } from './make-diff.ts';

// A diff that is done within this time is made here; a larger one would hold up all other requests, and is made in a thread.
const HERE_CHARACTERS = 100_000;
const HERE_MS = 20;
const THREAD_MS = 2_000;
// The time is only looked at between steps, and splitting texts into lines is none.
const GIVE_UP_MS = 10_000;
const THREAD_MEGABYTES = 1_024;
const MAX_WAITING = 16;

let last: Promise<unknown> = Promise.resolve();
let waiting = 0;

/**
 * The unified diff of two texts with three lines of context, undefined when it cannot be worked out in about two seconds. Large ones take
 * turns in one thread; KernelError `unavailable` when too many wait for theirs.
 */
export async function unifiedDiff(request: DiffRequest): Promise<string | undefined> {
  const small = request.before.length + request.after.length <= HERE_CHARACTERS;
  const here = small ? makeDiff(request, HERE_MS) : undefined;
  if (here !== undefined) return here;
  if (waiting >= MAX_WAITING) throw new KernelError('unavailable', 'too many large diffs are being made: try again');
  waiting++;
  const mine = last.then(() => inThread(request)).finally(() => waiting--);
  last = mine.catch(() => undefined);
  return mine;
}

async function inThread(request: DiffRequest): Promise<string | undefined> {
  const worker = new Worker(new URL('./diff-thread.js', import.meta.url), {
    workerData: { request, timeout: THREAD_MS },
    resourceLimits: { maxOldGenerationSizeMb: THREAD_MEGABYTES },
  });
  try {
    const [diff] = await once(worker, 'message', { signal: AbortSignal.timeout(GIVE_UP_MS) });
    return diff as string | undefined;
  } catch (error) {
    const { name, code } = error as { name?: string; code?: string };
    if (name === 'AbortError' || code === 'ERR_WORKER_OUT_OF_MEMORY') return undefined;
    throw error;
  } finally {
    await worker.terminate();
  }
}
