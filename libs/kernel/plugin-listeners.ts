import { type Log, reason } from '#libs/dispatch';
import type { EffectListener } from '#libs/effects';
import { blaming } from './blaming.ts';
import type { Kernel } from './kernel.ts';
import { listenersProblems } from './plugin-problems.ts';
import type { LoadedPlugin } from './plugins.ts';
import { didYouMean } from './suggest.ts';
import { within } from './within.ts';

/** The listeners of a plugin under their full names. Throws `configuration` when the plugin cannot make them. */
export async function makeListeners(
  { plugin, config }: LoadedPlugin,
  kernel: Kernel,
  log: Log,
): Promise<EffectListener[]> {
  const { name, listeners = [] } = plugin;
  const made =
    typeof listeners === 'function'
      ? await call(name, () => listeners({ config, kernel, log: namingLog(name, log) }))
      : listeners;
  const problems = listenersProblems(made);
  if (problems.length > 0) throw blaming(name, problems.join(' '));
  const named = made.map((listener) => underName(`${name}.${listener.name}`, listener));
  for (const listener of named) warnOfUnknown(listener, kernel, log);
  return named;
}

async function call<T>(plugin: string, make: () => T | Promise<T>): Promise<T> {
  try {
    return await within((async () => make())(), () => new Error('they are still being made'));
  } catch (error) {
    throw blaming(plugin, `its listeners cannot be made: ${reason(error)}`, error);
  }
}

const MEMBERS = {
  name: true,
  resources: true,
  fields: true,
  onPrimary: true,
  onSecondary: true,
  onDelivered: true,
  start: true,
  concurrency: true,
  rate: true,
  attempts: true,
} satisfies Record<keyof EffectListener, true>;

/** A listener may be an instance of a class: its methods are to find it as `this`. */
function underName(name: string, listener: EffectListener): EffectListener {
  const members = (Object.keys(MEMBERS) as (keyof EffectListener)[]).flatMap((member) => {
    const value = listener[member];
    if (value === undefined) return [];
    return [[member, typeof value === 'function' ? value.bind(listener) : value]];
  });
  return { ...Object.fromEntries(members), name };
}

/** It may be meant for a program whose tables are journaled here, too; more likely it is misspelled, and would never be told of anything. */
function warnOfUnknown({ name, resources = [] }: EffectListener, kernel: Kernel, log: Log): void {
  for (const resource of resources) {
    if (kernel.resources.has(resource)) continue;
    const sentence = `the listener ${name} waits for changes of ${resource}, which is no resource of this program.`;
    log.warn({ listener: name, resource }, `${sentence}${didYouMean(resource, kernel.resources.keys())}`);
  }
}

function namingLog(plugin: string, log: Log): Log {
  return {
    debug: (about, message) => log.debug({ ...about, plugin }, message),
    info: (about, message) => log.info({ ...about, plugin }, message),
    warn: (about, message) => log.warn({ ...about, plugin }, message),
    error: (about, message) => log.error({ ...about, plugin }, message),
  };
}
