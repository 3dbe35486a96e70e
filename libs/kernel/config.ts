import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { KernelError } from '#libs/database';
import { type Setting, settings } from './settings.ts';
import { didYouMean } from './suggest.ts';

type Settings = typeof settings;
type Values = { readonly [K in keyof Settings]: Settings[K] extends Setting<infer T> ? T : never };

/** The whole configuration of a process: every setting, and the variables that belong to plugins. Frozen. */
export interface Config extends Omit<Values, 'testLong'> {
  /** TIDEMARK_PLUGIN_* as given, by name. */
  readonly pluginVariables: Readonly<Record<string, string>>;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Values by variable name (PORT), by flag (port, data-dir) or as a command line parser spells it (dataDir). */
export type Flags = Readonly<Record<string, string | number | undefined>>;

/** Every setting with its flag, for the help of a command line. */
export const configFlags: readonly {
  readonly variable: string;
  readonly flag: string;
  readonly sentence: string;
}[] = Object.values(settings)
  .filter(({ variable }) => !variable.startsWith('TIDEMARK_TEST_'))
  .map(({ variable, sentence }) => ({ variable, flag: flagOf(variable), sentence }));

/** The environment of this process over the .env file of a folder. Throws 'configuration' when the file cannot be read. */
export function readEnvironment(folder: string = process.cwd()): Environment {
  const file = join(folder, '.env');
  try {
    return { ...parseEnv(readFileSync(file, 'utf8')), ...process.env };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return process.env;
    throw new KernelError('configuration', `${file} cannot be read: ${(error as Error).message}`);
  }
}

/**
 * Makes one frozen object of environment and flags; a flag wins. An empty value counts as not given. Throws
 * 'configuration' with a sentence for each unknown TIDEMARK_* name, unknown flag and bad value.
 */
export function loadConfig(env: Environment = readEnvironment(), flags: Flags = {}): Config {
  const problems: { path: string; message: string }[] = [];
  const given = { ...known(env), ...variablesOf(flags, problems) };
  refuseUnknown(env, problems);

  const values = Object.entries(settings).map(([name, setting]: [string, Setting<unknown>]) => {
    const text = given[setting.variable] || setting.fallback;
    try {
      return [name, text === undefined ? undefined : setting.read(text)];
    } catch (error) {
      problems.push({ path: setting.variable, message: `${setting.variable} ${(error as Error).message}` });
      return [name, undefined];
    }
  });
  const { testLong: _testLong, ...config } = Object.fromEntries(values) as Values;
  refuseAlone(config, problems);

  if (problems.length > 0) {
    throw new KernelError('configuration', problems.map(({ message }) => message).join('\n'), {
      errors: problems,
    });
  }
  return Object.freeze({ ...config, pluginVariables: Object.freeze(pluginVariables(env)) });
}

function flagOf(variable: string): string {
  return variable
    .replace(/^TIDEMARK_/, '')
    .toLowerCase()
    .replaceAll('_', '-');
}

const variables = new Set<string>(Object.values(settings).map(({ variable }) => variable));

function known(env: Environment): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => variables.has(name)));
}

function refuseUnknown(env: Environment, problems: { path: string; message: string }[]): void {
  for (const name of Object.keys(env)) {
    if (!name.startsWith('TIDEMARK_') || name.startsWith('TIDEMARK_PLUGIN_') || variables.has(name)) continue;
    problems.push({
      path: name,
      message: `${name} is not a setting of Tidemark.${didYouMean(name, variables)}`,
    });
  }
}

function variablesOf(flags: Flags, problems: { path: string; message: string }[]): Record<string, string | undefined> {
  const found: Record<string, string> = {};
  for (const [flag, value] of Object.entries(flags)) {
    if (value === undefined) continue;
    const spelled = flag
      .replace(/([a-z])([A-Z])/g, '$1_$2')
      .replaceAll('-', '_')
      .toUpperCase();
    const variable = [spelled, `TIDEMARK_${spelled}`].find((name) => variables.has(name));
    if (variable !== undefined) found[variable] = String(value);
    else
      problems.push({
        path: flag,
        message: `--${flag} is not a setting of Tidemark.${didYouMean(spelled, variables)}`,
      });
  }
  return found;
}

/** Two settings name the database of DATABASE_URL once more. */
function refuseAlone(
  config: Pick<Config, 'databaseUrl' | 'databaseOwnerUrl' | 'directUrl'>,
  problems: { path: string; message: string }[],
): void {
  if (config.databaseUrl !== undefined || problems.length > 0) return;
  const refuse = (path: string, purpose: string) =>
    problems.push({
      path,
      message: `${path} is set and DATABASE_URL is not: the one is ${purpose}, the other for all else.`,
    });
  if (config.databaseOwnerUrl !== undefined) refuse('DATABASE_OWNER_URL', 'for migrations');
  if (config.directUrl !== undefined) refuse('TIDEMARK_DIRECT_URL', 'for what cannot go through a pooler');
}

function pluginVariables(env: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => entry[0].startsWith('TIDEMARK_PLUGIN_') && entry[1] !== undefined,
    ),
  );
}
