import { setTimeout as pause } from 'node:timers/promises';
import type { DemoServer } from './demo-server.ts';
import type { DemoTask } from './make-production.ts';

/** Its multiples, less their whole parts, are spread evenly. */
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** What the answers of the servers have said while statuses were changed. */
export interface Changed {
  /** How often a task went from one status to another, by `from → to`. */
  readonly transitions: Map<string, number>;
  /** Milliseconds from the answer to a change until the other server's list, asked to wait for it, has shown it. */
  readonly visible: readonly number[];
  /** How often such a list showed another status. */
  readonly notShown: number;
  readonly seconds: number;
}

/** Where a task may go from a status: of several, each in turn. */
const NEXT: Readonly<Record<string, readonly [string, ...string[]]>> = {
  todo: ['wip'],
  wip: ['review'],
  review: ['done', 'retake'],
  retake: ['wip'],
  done: ['wip', 'retake'],
};

/**
 * Changes statuses at fixed moments, in turn at each of two servers, which work on different tasks of the same shots: so they meet in the
 * same rows of the projection, and what a task has to show is known at any time.
 */
export async function changeStatuses(
  servers: readonly [DemoServer, DemoServer],
  tasks: readonly DemoTask[],
  { changes, perSecond }: { changes: number; perSecond: number },
): Promise<Changed> {
  const transitions = new Map<string, number>();
  const visible: number[] = [];
  let notShown = 0;
  const types = [...new Set(tasks.map(({ type }) => type))];
  const shares = [0, 1].map((share) => tasks.filter(({ type }) => types.indexOf(type) % 2 === share));
  const before = new Map<DemoTask, Promise<void>>();

  const change = async (n: number, task: DemoTask): Promise<void> => {
    const [here, there] = n % 2 === 0 ? servers : [servers[1], servers[0]];
    const next = NEXT[task.status] as readonly [string, ...string[]];
    const status = next[Math.floor(n / 2) % next.length] as string;
    const { tid } = await here.ask('PUT', `/tasks/${task.id}/status`, { body: { status } });
    const answered = performance.now();
    if (tid === null) throw new Error(`task ${task.id} is at ${status} already`);
    const name = `${task.status} → ${status}`;
    transitions.set(name, (transitions.get(name) ?? 0) + 1);
    task.status = status;
    const { body } = await there.ask('GET', `/shots?sequence_id=${task.sequence}`, { waitFor: tid });
    visible.push(performance.now() - answered);
    const shot = (body.items as Shot[]).find(({ id }) => id === task.shot);
    if (shot?.task_status[task.type] !== status) notShown += 1;
  };

  const failed = new AbortController();
  const started = performance.now();
  for (let n = 0; n < changes; n++) {
    const early = started + (n * 1000) / perSecond - performance.now();
    if (early > 0) await pause(early);
    failed.signal.throwIfAborted();
    const task = chosen(shares[n % 2] as DemoTask[], Math.floor(n / 2));
    const changed = (before.get(task) ?? Promise.resolve()).then(() => change(n, task));
    // a rejection that nobody waits for yet would end the process, with its servers left behind
    changed.catch((reason) => failed.abort(reason));
    before.set(task, changed);
  }
  await Promise.all(before.values());
  return { transitions, visible, notShown, seconds: (performance.now() - started) / 1000 };
}

/** The task for the nth change of a share: always the same one, some tasks often and most seldom, so that some come all the way and back. */
function chosen(share: readonly DemoTask[], n: number): DemoTask {
  const even = (n * GOLDEN) % 1;
  return share[Math.floor(even * even * share.length)] as DemoTask;
}

interface Shot {
  readonly id: string;
  readonly task_status: Readonly<Record<string, string>>;
}
