import { Database } from '#libs/database';
import type { EffectListener } from '#libs/effects';
import { defineResource } from '#libs/journal';
import { createKernel } from '#libs/kernel';

// A process of its own that changes rows when it is told to, and whose one listener posts each change to a receiver.

export interface ProcessOptions {
  readonly url: string;
  readonly receiver: string;
  /** Where the listener stops for ever, having said so. */
  readonly stopAt: 'before' | 'after' | null;
  readonly concurrency: number;
}

export type Order = { readonly change: readonly number[] };
export type News =
  | { readonly ready: true }
  | { readonly at: string; readonly key: string }
  | { readonly changed: number };

interface Item {
  id: number;
  n: number;
}

const { url, receiver, stopAt, concurrency } = JSON.parse(process.argv[2] as string) as ProcessOptions;
const item = defineResource<Item>({ name: 'item', versioned: false });
const say = (news: News) => process.send?.(news);
const quiet = () => undefined;

const listener: EffectListener = {
  name: 'post',
  concurrency,
  async onPrimary(_, { key }) {
    const stop = async (point: string) => {
      if (stopAt !== point) return;
      say({ at: point, key });
      await new Promise(() => undefined);
    };
    await stop('before');
    const answer = await fetch(receiver, { method: 'POST', headers: { 'idempotency-key': key } });
    if (!answer.ok) throw new Error(`the receiver answered ${answer.status}`);
    await stop('after');
  },
};

const database = Database.open({ url, onError: quiet });
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const kernel = createKernel({ database, resources: [item], log });
kernel.listen(listener);
await kernel.start();
process.on('message', async ({ change }: Order) => {
  for (const id of change) {
    // whatever fails, the database is away for a moment
    for (let done = false; !done; ) {
      await kernel
        .transaction({ author: 'tester' }, (tx) => tx.stage(insert(id)))
        .then(
          () => {
            done = true;
          },
          () => new Promise((resolve) => setTimeout(resolve, 50)),
        );
    }
    say({ changed: id });
  }
});
process.on('disconnect', () => process.exit());
say({ ready: true });

function insert(id: number) {
  return database.kysely
    .insertInto('item' as never)
    .values({ id, n: id } as never)
    .onConflict((conflict) => conflict.doNothing());
}
