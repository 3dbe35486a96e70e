import { setTimeout as delay } from 'node:timers/promises';
import type { Queryable } from '#libs/database';
import { after } from '#libs/dispatch';
import {
  type Change,
  decodeCursor,
  encodeCursor,
  frontier,
  type Position,
  readChanges,
  readEpoch,
} from '#libs/journal';
import { changeLine } from '../change-line.ts';
import { type ReaderOptions, withReader } from '../open.ts';
import { print, printJson, say } from '../output.ts';
import type { Context } from '../program.ts';

interface TailOptions extends ReaderOptions {
  after?: string;
  follow?: boolean;
  resource?: string;
}

const PAGE = { limit: 200, bytes: 4 * 1024 * 1024 };
const POLL_MS = 100;

/** `tidemark tail`: changes in the order of the journal, as JSON lines with a cursor each, or one readable line each. */
export async function tail({ interrupted }: Context, options: TailOptions): Promise<void> {
  await withReader(options, async ({ db, resource }) => {
    const kind = options.resource === undefined ? {} : { resource: resource(options.resource).name };
    const epoch = await readEpoch(db);
    let from = await start(db, epoch, options);
    while (!interrupted.aborted) {
      const { safe } = await frontier(db);
      const changes = await readChanges(db, { after: from, upto: safe, ...PAGE, ...kind });
      for (const change of changes) await show(change, epoch, options.json);
      from = positionAfter(from, changes.at(-1), safe);
      if (changes.length > 0) continue;
      if (!options.follow) break;
      await delay(POLL_MS, undefined, { signal: interrupted }).catch(() => undefined);
    }
    if (!options.json) say(`-- cursor ${encodeCursor(epoch, from)}`);
  });
}

/** As in HTTP: a tail that ends begins with the first change, one that follows begins with the next. */
async function start(db: Queryable, epoch: string, { after: cursor, follow }: TailOptions): Promise<Position> {
  const { head, safe } = await frontier(db);
  if (cursor === undefined) return { tid: follow ? safe : 0 };
  return cursor === 'now' ? { tid: safe } : decodeCursor(epoch, cursor, head);
}

/** When there was nothing up to the safe tid, nothing can appear there any more. */
function positionAfter(before: Position, last: Change | undefined, safe: number): Position {
  if (last !== undefined) return after(last);
  return safe > before.tid ? { tid: safe } : before;
}

async function show(change: Change, epoch: string, json: boolean | undefined): Promise<void> {
  if (json) await printJson({ ...change, cursor: encodeCursor(epoch, after(change)) });
  else await print(changeLine(change));
}
