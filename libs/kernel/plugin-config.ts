import { KernelError } from '#libs/database';
import { reason } from '#libs/dispatch';
import type { Plugin, PluginConfig, PluginSetting } from './plugin.ts';
import { didYouMean } from './suggest.ts';

const PREFIX = 'TIDEMARK_PLUGIN_';

/**
 * The values of each plugin's settings, in the order of the plugins. Throws `configuration` with a sentence for each that is missing or cannot be
 * read, for each variable that belongs to no plugin, and for one that belongs to two.
 */
export function readPluginConfigs(
  plugins: readonly Plugin[],
  variables: Readonly<Record<string, string>>,
): PluginConfig<Record<string, PluginSetting>>[] {
  const owners = new Map<string, string>();
  const problems: string[] = [];
  const configs = plugins.map((plugin) => {
    const values = Object.entries(plugin.config ?? {}).map(([key, setting]) => {
      const variable = variableOf(plugin.name, key);
      const other = owners.get(variable);
      if (other !== undefined) problems.push(`plugins ${other} and ${plugin.name}: both have the setting ${variable}.`);
      owners.set(variable, plugin.name);
      const { value, problem } = readSetting(variable, setting, variables[variable]);
      if (problem !== undefined) problems.push(`plugin ${plugin.name}: ${problem}`);
      return [key, value];
    });
    return Object.freeze(Object.fromEntries(values) as Record<string, unknown>);
  });
  for (const name of Object.keys(variables)) {
    if (!owners.has(name)) problems.push(unknownVariable(name, plugins, owners));
  }
  if (problems.length === 0) return configs;
  throw new KernelError('configuration', problems.join('\n'));
}

/** The environment variable of a plugin's setting. */
export function variableOf(plugin: string, key: string): string {
  const spelled = key.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase();
  return `${PREFIX}${plugin.replaceAll('-', '_').toUpperCase()}_${spelled}`;
}

// The text may be a secret: only the reader, which knows what it is, repeats it.
function readSetting(
  variable: string,
  setting: PluginSetting,
  given: string | undefined,
): { value?: unknown; problem?: string } {
  const text = given || setting.fallback;
  if (text === undefined) return { problem: `${variable} is missing: ${setting.sentence}.` };
  try {
    const value = setting.read(text);
    return Number.isNaN(value) ? { problem: `${variable} is not a number: ${setting.sentence}.` } : { value };
  } catch (error) {
    return { problem: `${variable} cannot be used: ${reason(error)}` };
  }
}

function unknownVariable(name: string, plugins: readonly Plugin[], known: ReadonlyMap<string, string>): string {
  if (plugins.length === 0) return `${name} belongs to no plugin: TIDEMARK_PLUGINS names none.`;
  const names = plugins.map((plugin) => plugin.name).join(', ');
  return `${name} is no setting of the plugins ${names}.${didYouMean(name, known.keys())}`;
}
