import { setTimeout as delay } from 'node:timers/promises';
import { KernelError } from '#libs/database';
import { highestTid, tailStatus, wholeTid } from '#libs/dispatch';
import type { Kernel } from '#libs/kernel';

/**
 * Waits until the kernels have delivered everything that is committed, and their caches, projections and listeners are done with it, also with what the
 * listeners themselves have changed. Throws `not_caught_up` after the time-out (5 s) with what held it up, `unavailable` when a kernel
 * is not started. Events of @nestjs/cqrs are not waited for: nobody knows when their handlers are done.
 */
export async function settled(
  // biome-ignore lint/suspicious/noExplicitAny: kernels of any tables
  kernels: Kernel<any> | readonly Kernel<any>[],
  { timeout = 5_000 }: { timeout?: number } = {},
): Promise<void> {
  const all = [kernels].flat() as readonly Kernel[];
  const end = performance.now() + timeout;
  for (let done = '', heads = ''; ; done = heads) {
    const tids = await Promise.all(all.map((kernel) => highestTid(kernel.database)));
    heads = tids.join();
    if (heads === done) return;
    await Promise.all(all.map((kernel, n) => told(kernel, tids[n] as number, end)));
  }
}

async function told(kernel: Kernel, tid: number, end: number): Promise<void> {
  const { dispatcher } = kernel;
  if (dispatcher.status().state === 'stopped') throw new KernelError('unavailable', 'the kernel is not started');
  try {
    await dispatcher.waitFor(tid, { timeout: Math.max(0, end - performance.now()) });
  } catch (cause) {
    const { floorHolders } = await tailStatus(kernel.database);
    const open = floorHolders.map(({ pid, application }) => `${application} (process ${pid})`);
    const why = open.length > 0 ? `: a change is not committed yet, by ${open.join(', ')}` : '';
    throw new KernelError('not_caught_up', `the kernel has not delivered tid ${tid} in time${why}`, { cause });
  }
  await kernel.projections.waitFor(tid, { timeout: Math.max(0, end - performance.now()) });
  for (;;) {
    const busy = dispatcher.status().listeners.filter(({ position }) => wholeTid(position) < tid);
    const effects = await kernel.effects.busy(tid);
    if (busy.length === 0 && effects.length === 0) return;
    if (performance.now() > end) {
      const names = [...busy.map(({ name }) => name), ...effects].join(', ');
      throw new KernelError('not_caught_up', `listeners are not done with tid ${tid} in time: ${names}`);
    }
    await delay(2);
  }
}
