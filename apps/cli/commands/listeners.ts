import { KernelError } from '#libs/database';
import { listListeners, pauseListener, removeListener, resetListener } from '#libs/effects';
import { type ReaderOptions, withReader } from '../open.ts';
import { plain, print, printJson, table } from '../output.ts';
import type { Context } from '../program.ts';

/** `tidemark listeners list`: those with effects. */
export async function listenersList(_context: Context, options: ReaderOptions): Promise<void> {
  await withReader(options, async ({ db }) => {
    const listeners = await listListeners(db);
    if (options.json) return printJson(listeners);
    const rows = listeners.map((row) => [
      row.listener,
      row.paused ? 'paused' : row.processes === 0 ? 'nowhere' : `in ${row.processes}`,
      ...[row.position, row.lag_rows, row.lag_ms, row.pending, row.failed, row.parked, row.done].map(String),
      plain(row.last_error ?? '').slice(0, 60),
    ]);
    const head = ['listener', 'runs', 'position', 'lag', 'lag ms', 'pending', 'failed', 'parked', 'done', 'last error'];
    await print(table([head, ...rows]));
  });
}

/** `tidemark listeners pause`. */
export function listenersPause(_context: Context, listener: string, options: ReaderOptions): Promise<void> {
  return set(listener, options, true);
}

/** `tidemark listeners resume`. */
export function listenersResume(_context: Context, listener: string, options: ReaderOptions): Promise<void> {
  return set(listener, options, false);
}

/** `tidemark listeners reset`. */
export async function listenersReset(
  _context: Context,
  listener: string,
  options: ReaderOptions & { to: string; yes?: boolean },
): Promise<void> {
  const to = options.to === 'head' || options.to === 'beginning' ? options.to : tidOf(options.to);
  if (!options.yes) {
    const sentence = 'changes that it passes over have no effects, and those it goes back to may get some';
    throw new KernelError('conflict', `the position of ${listener} is set only with --yes: ${sentence}`);
  }
  await withReader(options, async ({ db }) => {
    const moved = await resetListener(db, listener, to);
    await (options.json ? printJson(moved) : print(`${listener} stands at ${moved.to}, after ${moved.from}`));
  });
}

/** `tidemark listeners remove`. */
export async function listenersRemove(
  _context: Context,
  listener: string,
  options: ReaderOptions & { yes?: boolean },
): Promise<void> {
  await withReader(options, async ({ atomic }) => {
    const effects = await atomic((tx) => removeListener(tx, listener, options.yes === true));
    const given = effects === 0 ? '' : `; ${effects} effect${effects === 1 ? ' is' : 's are'} given up`;
    await (options.json ? printJson({ listener, effects }) : print(`${listener} is removed${given}`));
  });
}

async function set(listener: string, options: ReaderOptions, paused: boolean): Promise<void> {
  await withReader(options, async ({ db }) => {
    await pauseListener(db, listener, paused);
    await (options.json ? printJson({ listener, paused }) : print(`${listener} is ${paused ? 'paused' : 'resumed'}`));
  });
}

function tidOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new KernelError('invalid', `--to is head, beginning or a tid, not ${text}`);
}
