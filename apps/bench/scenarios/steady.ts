import { setTimeout as pause } from 'node:timers/promises';
import { type openProcess, task } from '../process.ts';
import { TASKS } from '../server.ts';

type Kernel = Awaited<ReturnType<typeof openProcess>>;

/** Nanoseconds of the machine's monotonic clock, which all its processes share. */
export type Clock = bigint;

interface Rate {
  readonly perSecond: number;
  readonly seconds: number;
}

/** Does one thing at each fixed moment, which is `due`, whatever the answers take; returns when all is done. */
export async function atFixedRate(
  { perSecond, seconds }: Rate,
  one: (n: number, due: number) => Promise<void>,
): Promise<void> {
  const started = performance.now();
  const open: Promise<void>[] = [];
  for (let n = 0; n < seconds * perSecond; n++) {
    const due = started + (n * 1000) / perSecond;
    const early = due - performance.now();
    if (early > 0) await pause(early);
    // a timer may come a little early
    open.push(one(n, Math.min(due, performance.now())));
  }
  await Promise.all(open);
}

/** Changes one row at each fixed moment, whatever the answers take: tid → when commit was called, and when it returned. */
export async function writeSteadily(
  kernel: Kernel,
  rate: Rate,
): Promise<Map<number, [called: Clock, returned: Clock]>> {
  const written = new Map<number, [Clock, Clock]>();
  await atFixedRate(rate, async (n) => {
    const tx = kernel.begin().prepare({ author: 'bench' });
    tx.save(task, 1 + (n % TASKS), { title: `task ${n} ${Math.random()}` });
    const called = process.hrtime.bigint();
    const { tid } = await tx.commit();
    if (tid !== null) written.set(tid, [called, process.hrtime.bigint()]);
  });
  return written;
}
