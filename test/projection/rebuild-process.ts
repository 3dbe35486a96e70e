import { Database } from '#libs/database';
import { type RebuildProgress, rebuild } from '#libs/projection';
import { contents, moves } from './boxes.ts';

// A process of its own that rebuilds a projection, and can stop dead at a point, to be killed there.

export interface ProcessOptions {
  readonly url: string;
  readonly projection: string;
  /** The progress at which it stops for ever, having said so. */
  readonly stopAt: { readonly phase: RebuildProgress['phase']; readonly nth: number } | null;
}

export type News =
  | { readonly at: RebuildProgress }
  | { readonly tid: number; readonly resumed: boolean; readonly pages: number }
  | { readonly code: string };

const { url, projection, stopAt } = JSON.parse(process.argv[2] as string) as ProcessOptions;
const say = (news: News) => new Promise<void>((resolve) => process.send?.(news, () => resolve()));
const database = Database.open({ url, poolSize: 2 });
let pages = 0;
const seen = { 'source rows': 0, changes: 0 };

function progress(at: RebuildProgress): void {
  pages += at.phase === 'source rows' ? 1 : 0;
  seen[at.phase] += 1;
  if (at.phase !== stopAt?.phase || seen[at.phase] !== stopAt.nth) return;
  process.send?.({ at } satisfies News);
  // the thread stands still, as one does that is killed here
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

const chosen = [contents, moves].find(({ name }) => name === projection) as typeof contents;
await rebuild(database, chosen, { progress }).then(
  (rebuilt) => say({ ...rebuilt, pages }),
  (error) => say({ code: error.code ?? String(error) }),
);
await database.close();
process.disconnect?.();
