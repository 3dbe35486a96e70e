import { fileURLToPath } from 'node:url';
import { Permissions, type PermissionTable } from '#libs/access';
import type { Log } from '#libs/dispatch';
import type { EffectListener } from '#libs/effects';
import type { CheckDefinition, RuleDefinition } from '#libs/integrity';
import type { Resource } from '#libs/journal';
import type { PluginMigrations } from '#libs/migrations';
import { type Projection, tablesOf } from '#libs/projection';
import { blaming } from './blaming.ts';
import type { Config } from './config.ts';
import { importPlugin } from './import-plugin.ts';
import type { Kernel } from './kernel.ts';
import type { Plugin, PluginConfig, PluginSettings } from './plugin.ts';
import { readPluginConfigs } from './plugin-config.ts';
import { makeListeners } from './plugin-listeners.ts';
import { checkTables } from './tables.ts';

/** A plugin with the values of its settings, and as TIDEMARK_PLUGINS names it. */
export interface LoadedPlugin {
  readonly given: string;
  readonly plugin: Plugin;
  readonly config: PluginConfig<PluginSettings>;
}

/**
 * Imports the plugins of a configuration, relative to a folder (default: the working directory), and reads their settings. Throws `configuration`
 * with a sentence that names the plugin when one cannot be loaded, is none, lacks a setting, or clashes with another.
 */
export async function loadPlugins(config: Config, folder: string = process.cwd()): Promise<Plugins> {
  const imported: { given: string; plugin: Plugin }[] = [];
  for (const given of config.plugins) imported.push({ given, plugin: await importPlugin(given, folder) });
  refuseTwins(imported);
  const configs = readPluginConfigs(
    imported.map(({ plugin }) => plugin),
    config.pluginVariables,
  );
  return new Plugins(imported.map((one, n) => ({ ...one, config: configs[n] as LoadedPlugin['config'] })));
}

/** The plugins of one program together. Throws `configuration` when their permissions clash. */
export class Plugins {
  readonly loaded: readonly LoadedPlugin[];
  readonly permissions: PermissionTable;
  readonly migrations: readonly PluginMigrations[];
  /** Under their full names. */
  readonly checks: readonly CheckDefinition[];
  /** Under their full names, too. */
  readonly consistencyRules: readonly RuleDefinition[];

  constructor(loaded: readonly LoadedPlugin[]) {
    this.loaded = loaded;
    this.permissions = mergePermissions(loaded);
    this.checks = loaded.flatMap(({ plugin: { name, checks = [] } }) =>
      checks.map((check) => underName(`${name}.${check.name}`, check)),
    );
    this.consistencyRules = loaded.flatMap(({ plugin: { name, consistencyRules = [] } }) =>
      consistencyRules.map((rule) => ({
        ...{ name: `${name}.${rule.name}`, judge: rule.judge.bind(rule) },
        ...(rule.description !== undefined && { description: rule.description }),
      })),
    );
    this.migrations = loaded.flatMap(({ plugin: { name, migrations: folder } }) =>
      folder === undefined ? [] : [{ plugin: name, folder: folder instanceof URL ? fileURLToPath(folder) : folder }],
    );
  }

  /** The program's resources and those of the plugins. Throws `configuration` when two share a name or a table. */
  resourcesBeside(own: readonly Resource[]): Resource[] {
    const all = own.map((resource) => ({ resource, owner: 'Tidemark' }));
    for (const { plugin } of this.loaded) {
      for (const resource of plugin.resources ?? []) {
        for (const part of ['name', 'table'] as const) {
          const twin = all.find((other) => other.resource[part] === resource[part]);
          if (twin === undefined) continue;
          const shared = part === 'name' ? `a resource ${resource.name}` : `the table ${resource.table} for a resource`;
          throw blaming(plugin.name, `${twin.owner} already has ${shared}.`);
        }
        all.push({ resource, owner: `plugin ${plugin.name}` });
      }
    }
    return all.map(({ resource }) => resource);
  }

  /** The program's projections and those of the plugins. Throws `configuration` when two share a name or a table. */
  projectionsBeside(own: readonly Projection[]): Projection[] {
    const all = own.map((projection) => ({ projection, owner: 'Tidemark' }));
    for (const { plugin } of this.loaded) {
      for (const projection of plugin.projections ?? []) {
        for (const other of all) {
          const table = tablesOf(projection).find((one) => tablesOf(other.projection).includes(one));
          if (other.projection.name === projection.name) {
            throw blaming(plugin.name, `${other.owner} already has a projection ${projection.name}.`);
          }
          if (table !== undefined)
            throw blaming(plugin.name, `${other.owner} already has the table ${table} for a projection.`);
        }
        all.push({ projection, owner: `plugin ${plugin.name}` });
      }
    }
    return all.map(({ projection }) => projection);
  }

  /**
   * Checks that the tables of all plugins are journaled as defined, makes their listeners, and adds them to a kernel that is not started. Throws
   * `configuration`, and adds none, when a table is not, or listeners cannot be made.
   */
  async addTo(kernel: Kernel, log: Log): Promise<void> {
    const listeners: EffectListener[] = [];
    for (const loaded of this.loaded) {
      await checkResources(loaded.plugin, kernel, log);
      listeners.push(...(await makeListeners(loaded, kernel, log)));
    }
    for (const listener of listeners) kernel.listen(listener);
  }
}

/** A check may be an instance of a class: its methods are to find it as `this`. */
function underName(name: string, check: CheckDefinition): CheckDefinition {
  const { resource, find, repair } = check;
  return { name, resource, find: find.bind(check), ...(repair && { repair: repair.bind(check) }) };
}

/** As the kernel does when it starts, which does not know whose resources they are. What it warns of is not said twice. */
async function checkResources({ name, resources = [] }: Plugin, kernel: Kernel, log: Log): Promise<void> {
  try {
    if (resources.length > 0) await checkTables(kernel.database, resources, { ...log, warn: () => undefined });
  } catch (error) {
    throw blaming(name, (error as Error).message.replaceAll('\n', ' '), error);
  }
}

function refuseTwins(imported: readonly { given: string; plugin: Plugin }[]): void {
  const seen = new Map<string, string>();
  for (const { given, plugin } of imported) {
    const other = seen.get(plugin.name);
    if (other !== undefined) throw blaming(plugin.name, `two plugins have this name: ${other} and ${given}.`);
    seen.set(plugin.name, given);
  }
}

function mergePermissions(loaded: readonly LoadedPlugin[]): PermissionTable {
  const merged: Record<string, PermissionTable[string]> = {};
  const owners = new Map<string, string>();
  for (const { plugin } of loaded) {
    const table = plugin.permissions ?? {};
    try {
      new Permissions(table);
    } catch (error) {
      throw blaming(plugin.name, (error as Error).message, error);
    }
    for (const [resource, actions] of Object.entries(table)) {
      const other = owners.get(resource);
      if (other !== undefined) throw blaming(plugin.name, `plugin ${other} already has permissions of ${resource}.`);
      if (plugin.resources?.some(({ name }) => name === resource) && !Object.hasOwn(actions, 'read')) {
        throw blaming(plugin.name, `its permissions of ${resource} do not say who may read it.`);
      }
      owners.set(resource, plugin.name);
      merged[resource] = actions;
    }
  }
  return merged;
}
