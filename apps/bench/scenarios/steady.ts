import { setTimeout as pause } from 'node:timers/promises';
import { type openProcess, task } from '../process.ts';
import { TASKS } from '../server.ts';

type Kernel = Awaited<ReturnType<typeof openProcess>>;

/** Nanoseconds of the machine's monotonic clock, which all its processes share. */
export type Clock = bigint;

/** Changes one row at each fixed moment, whatever the answers take: tid → when commit was called, and when it returned. */
export async function writeSteadily(
  kernel: Kernel,
  { perSecond, seconds }: { perSecond: number; seconds: number },
): Promise<Map<number, [called: Clock, returned: Clock]>> {
  const written = new Map<number, [Clock, Clock]>();
  const one = async (n: number) => {
    const tx = kernel.begin().prepare({ author: 'bench' });
    tx.save(task, 1 + (n % TASKS), { title: `task ${n} ${Math.random()}` });
    const called = process.hrtime.bigint();
    const { tid } = await tx.commit();
    if (tid !== null) written.set(tid, [called, process.hrtime.bigint()]);
  };
  const started = performance.now();
  const open: Promise<void>[] = [];
  for (let n = 0; n < seconds * perSecond; n++) {
    const early = started + (n * 1000) / perSecond - performance.now();
    if (early > 0) await pause(early);
    open.push(one(n));
  }
  await Promise.all(open);
  return written;
}
