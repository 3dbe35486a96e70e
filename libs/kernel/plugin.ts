import type { PermissionTable } from '#libs/access';
import { KernelError } from '#libs/database';
import type { Log } from '#libs/dispatch';
import type { EffectListener } from '#libs/effects';
import type { CheckDefinition, RuleDefinition } from '#libs/integrity';
import type { Resource } from '#libs/journal';
import type { Projection } from '#libs/projection';
import type { Kernel } from './kernel.ts';
import { definitionProblems } from './plugin-problems.ts';

/** One setting of a plugin. Its variable is TIDEMARK_PLUGIN_<NAME>_<KEY>: `apiKey` of `ticket-poster` is TIDEMARK_PLUGIN_TICKET_POSTER_API_KEY. */
export interface PluginSetting<T = unknown> {
  /** What it is, in a few words: said when it is missing. */
  readonly sentence: string;
  /** Read as if it had been given when it is not. A setting without a fallback must be given. */
  readonly fallback?: string;
  /** The value of a text. Throws an Error that says what is wrong with it. */
  read(text: string): T;
}

export type PluginSettings = Readonly<Record<string, PluginSetting>>;
/** The values of a plugin's settings. */
export type PluginConfig<S extends PluginSettings> = { readonly [K in keyof S]: ReturnType<S[K]['read']> };

/** What a plugin's listeners are made with, when a server starts. */
export interface PluginStart<S extends PluginSettings = PluginSettings> {
  readonly config: PluginConfig<S>;
  /** Migrated and not started yet: for reading and writing, and for caches (`kernel.dispatcher.cache`). */
  readonly kernel: Kernel;
  /** Lines of the server's log that name the plugin. */
  readonly log: Log;
}

type Listeners = readonly EffectListener[];

/** What a plugin adds to a program. All but the name may be left out. */
export interface PluginDefinition<S extends PluginSettings = PluginSettings> {
  /** Small letters and digits, parted by `-`: `ticket-poster`. */
  readonly name: string;
  readonly config?: S;
  /** The folder of its migrations, `0001_name.sql` and so on: `new URL('migrations/', import.meta.url)`, or an absolute path. */
  readonly migrations?: URL | string;
  /** Journaled by its migrations. */
  readonly resources?: readonly Resource[];
  /** Kept current by every process of the program; their tables are registered by its migrations. */
  readonly projections?: readonly Projection[];
  /** Who may do what with its resources. */
  readonly permissions?: PermissionTable;
  /** Called `<plugin>.<check>`: rules about the data, which run with those that Tidemark has itself. */
  readonly checks?: readonly CheckDefinition[];
  /** Called `<plugin>.<rule>`: what validations of shots and assets judge, beside the rules of projects. See `ConsistencyRule` of tidemark/server. */
  readonly consistencyRules?: readonly RuleDefinition[];
  /** Called `<plugin>.<listener>` in the ledger. A function is called once, when a server starts, which fails when it throws. */
  readonly listeners?: Listeners | ((start: PluginStart<S>) => Listeners | Promise<Listeners>);
}

/** What definePlugin() gives: the default export of a plugin's module. */
export interface Plugin extends PluginDefinition {
  readonly kind: 'tidemark plugin';
}

const defined = new WeakSet<object>();

/** Defines a plugin. Throws `configuration` with a sentence for each part that is not as it has to be, or not known. */
export function definePlugin<const S extends PluginSettings = Record<never, never>>(
  definition: PluginDefinition<S>,
): Plugin {
  const problems = definitionProblems(definition);
  if (problems.length > 0) throw new KernelError('configuration', problems.join('\n'));
  const plugin = Object.freeze({ ...definition, kind: 'tidemark plugin' }) as unknown as Plugin;
  defined.add(plugin);
  return plugin;
}

/** Whether a value was made by this program's definePlugin(). */
export function isPlugin(value: unknown): value is Plugin {
  return typeof value === 'object' && value !== null && defined.has(value);
}
