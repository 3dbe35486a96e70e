export {
  type Config,
  configFlags,
  type Environment,
  type Flags,
  loadConfig,
  readEnvironment,
} from './config.ts';
export { createKernel, Kernel, type KernelOptions } from './kernel.ts';
export {
  type Located,
  locateDatabase,
  type Opened,
  type OpenOptions,
  openKernel,
  openOwner,
} from './open.ts';
export {
  definePlugin,
  type Plugin,
  type PluginConfig,
  type PluginDefinition,
  type PluginSetting,
  type PluginSettings,
  type PluginStart,
} from './plugin.ts';
export { type LoadedPlugin, loadPlugins, Plugins } from './plugins.ts';
export { type LogLevel, logLevels } from './settings.ts';
export type { DatabaseSource } from './source.ts';
export { version } from './version.ts';
