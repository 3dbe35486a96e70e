export {
  type Config,
  configFlags,
  type Environment,
  type Flags,
  loadConfig,
  readEnvironment,
} from './config.ts';
export { createKernel, Kernel, type KernelOptions, type Transacted } from './kernel.ts';
export {
  type Located,
  locateDatabase,
  type Opened,
  type OpenOptions,
  openKernel,
  openOwner,
} from './open.ts';
export { type LogLevel, logLevels } from './settings.ts';
export { version } from './version.ts';
