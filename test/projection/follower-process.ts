import { Database } from '#libs/database';
import { createKernel } from '#libs/kernel';
import type { FoldProjection, Projection } from '#libs/projection';
import { box, contents, item, moves } from './boxes.ts';
import { chain } from './chain.ts';

// A process of its own that follows projections, and can stop dead within a batch, to be killed there.

export interface FollowerOptions {
  readonly url: string;
  /** Stops for ever in the so many-th batch of this fold, when its rows are written and not committed. */
  readonly stop: { readonly in: string; readonly nth: number } | null;
}

/** A fold has written the rows of a batch. */
export interface Written {
  readonly projection: string;
  readonly changes: number;
}

const { url, stop } = JSON.parse(process.argv[2] as string) as FollowerOptions;
const quiet = () => undefined;

function observed(fold: FoldProjection): Projection {
  let batches = 0;
  return {
    ...fold,
    async apply(db, changes, table) {
      await fold.apply(db, changes, table);
      process.send?.({ projection: fold.name, changes: changes.length } satisfies Written);
      batches += 1;
      if (stop?.in === fold.name && stop.nth === batches) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    },
  };
}

const database = Database.open({ url, onError: quiet });
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const projections = [contents, observed(moves), observed(chain)];
const kernel = createKernel({ database, resources: [box, item], log, projections });
await kernel.start();
process.on('disconnect', () => process.exit());
