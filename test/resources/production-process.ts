import { Database, KernelError } from '#libs/database';
import { createKernel, type Kernel } from '#libs/kernel';
import {
  changeComment,
  changeRecord,
  changeStatuses,
  changeTask,
  deleteComment,
  deleteRecord,
  projections,
  recordKinds,
  resources,
} from '#libs/resources';

// A process of its own that changes tasks when it is told to, and follows the projections.

/** A change of some tasks, shots and sequences, by their places among those that it is told of. */
export type Step =
  | { readonly kind: 'comment'; readonly task: number; readonly status?: string; readonly date?: string }
  | {
      readonly kind: 'edit';
      readonly task: number;
      readonly number: number;
      readonly status: string;
      readonly date: string;
    }
  | { readonly kind: 'take back'; readonly task: number; readonly number: number }
  | { readonly kind: 'bulk'; readonly tasks: readonly number[]; readonly status: string }
  | { readonly kind: 'delete'; readonly task: number }
  | { readonly kind: 'resequence'; readonly shot: number; readonly sequence: number };

export interface Things {
  readonly tasks: readonly string[];
  readonly shots: readonly string[];
  readonly sequences: readonly string[];
}

export interface Order extends Things {
  readonly steps: readonly Step[];
}

export type News = { readonly ready: true } | { readonly done: true } | { readonly failed: string };

const joe = { author: 'joe' };
/** What a step may meet when others have been faster. */
const EXPECTED = new Set(['not_found', 'conflict', 'invalid']);

async function take(kernel: Kernel, { tasks, shots, sequences }: Things, step: Step): Promise<unknown> {
  const id = 'task' in step ? (tasks[step.task] as string) : '';
  switch (step.kind) {
    case 'comment':
      return changeTask(kernel, joe, id, { status: step.status, date: step.date, comment: step.status ? '' : 'said' });
    case 'edit':
      return changeComment(kernel, joe, id, String(step.number), { status: step.status, date: step.date });
    case 'take back':
      return deleteComment(kernel, joe, id, String(step.number));
    case 'bulk': {
      const updates = step.tasks.map((task) => ({ task_id: tasks[task] as string, status: step.status }));
      return changeStatuses(kernel, joe, updates, { partial: true });
    }
    case 'delete':
      return deleteRecord(kernel, joe, recordKinds.task, id);
    case 'resequence': {
      const sequence_id = sequences[step.sequence] ?? null;
      return changeRecord(kernel, joe, recordKinds.shot, shots[step.shot] as string, { sequence_id });
    }
  }
}

async function takeAll(kernel: Kernel, { steps, ...things }: Order): Promise<void> {
  for (const step of steps) {
    await take(kernel, things, step).catch((error: unknown) => {
      if (!(error instanceof KernelError) || !EXPECTED.has(error.code)) throw error;
    });
  }
}

const quiet = () => undefined;
const [, , url = ''] = process.argv;
const database = Database.open({ url, onError: quiet });
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const kernel = createKernel({ database, resources, projections, log });
const say = (news: News) => process.send?.(news);

process.on('message', (order: Order) => {
  takeAll(kernel, order).then(
    () => say({ done: true }),
    (error: Error) => say({ failed: String(error.stack) }),
  );
});
process.on('disconnect', async () => {
  await kernel.stop();
  await database.close();
});
await kernel.start();
say({ ready: true });
