import { KernelError } from '#libs/database';
import {
  changeEffects,
  EFFECT_STATES,
  type EffectFilter,
  type EffectId,
  type EffectState,
  findEffect,
  listEffects,
  parseEffectKey,
} from '#libs/effects';
import { listMailed } from '#libs/listeners';
import { effectStory } from '../effect-story.ts';
import { type ReaderOptions, withReader } from '../open.ts';
import { plain, print, printJson, table } from '../output.ts';
import type { Context } from '../program.ts';

interface FilterOptions extends ReaderOptions {
  listener?: string;
  state?: string;
  olderThan?: number;
  tid?: number;
  resource?: string;
  id?: string;
}

/** `tidemark effects list`. */
export async function effectsList(_context: Context, options: FilterOptions & { limit: number }): Promise<void> {
  await withReader(options, async ({ db }) => {
    const effects = await listEffects(db, { ...filterOf(options), limit: options.limit });
    if (options.json) return printJson(effects);
    if (effects.length === 0) return print('no effect');
    const rows = effects.map((effect) => [
      effect.key,
      effect.running ? 'running' : effect.state,
      String(effect.attempts),
      effect.finished ?? effect.due ?? '-',
      effect.ran_by ?? '-',
      plain(effect.last_error ?? '').slice(0, 80),
    ]);
    await print(table([['effect', 'state', 'attempts', 'done or due', 'last process', 'last error'], ...rows]));
  });
}

/** `tidemark effects show`: what is known of one effect, as sentences. */
export async function effectsShow(_context: Context, key: string, options: ReaderOptions): Promise<void> {
  await withReader(options, async ({ db }) => {
    const effect = await findEffect(db, key);
    const mails = await listMailed(db, parseEffectKey(key) as EffectId);
    await (options.json ? printJson({ ...effect, mails }) : print(effectStory(effect, mails)));
  });
}

/** `tidemark effects retry`. */
export function effectsRetry(_context: Context, key: string | undefined, options: FilterOptions): Promise<void> {
  return change('retry', key, options, 'is tried again now', 'are tried again now');
}

/** `tidemark effects discard`. */
export function effectsDiscard(_context: Context, key: string | undefined, options: FilterOptions): Promise<void> {
  return change('discard', key, options, 'is given up', 'are given up');
}

async function change(
  what: 'retry' | 'discard',
  key: string | undefined,
  options: FilterOptions,
  one: string,
  many: string,
): Promise<void> {
  const filter = filterOf(options);
  await withReader(options, async ({ db }) => {
    const effects = await changeEffects(db, what, { key, filter });
    await (options.json
      ? printJson({ effects })
      : print(`${effects} ${effects === 1 ? `effect ${one}` : `effects ${many}`}`));
  });
}

function filterOf({ listener, state, olderThan, tid, resource, id }: FilterOptions): EffectFilter {
  if (state !== undefined && !EFFECT_STATES.includes(state as EffectState)) {
    throw new KernelError('invalid', `there is no state ${state}: there is ${EFFECT_STATES.join(', ')}`);
  }
  return { listener, state: state as EffectState | undefined, olderThan, tid, resource, id };
}
