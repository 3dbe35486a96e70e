import { stat } from 'node:fs/promises';
import { createRequire, registerHooks } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { KernelError } from '#libs/database';
import { isPlugin, type Plugin } from './plugin.ts';
import { within } from './within.ts';

/**
 * Imports a plugin: a path (it begins with `.` or `/`) or the name of a module, as if a file of the folder imported it. Whatever it imports, `tidemark` means this
 * running program. Throws `configuration` with a sentence that names the plugin as it was given.
 */
export async function importPlugin(given: string, folder: string): Promise<Plugin> {
  lendTidemark(folder);
  const target = isPath(given) ? await fileOf(given, folder) : await moduleOf(given, folder);
  const loading = import(target).catch((error: unknown) => {
    throw refusal(given, `it cannot be loaded: ${described(error)}`, error);
  });
  const module = await within(loading, () =>
    refusal(given, 'it is still being loaded: a top-level await does not end'),
  );
  return checked(given, module);
}

function checked(given: string, module: { default?: unknown }): Plugin {
  if (isPlugin(module.default)) return module.default;
  const found = module.default === undefined ? 'it has no default export' : 'its default export is something else';
  throw refusal(given, `${found}: that has to be what definePlugin() of 'tidemark' gives`);
}

function isPath(given: string): boolean {
  return given.startsWith('.') || given.startsWith('/');
}

async function fileOf(given: string, folder: string): Promise<string> {
  const path = resolve(folder, given);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw refusal(given, `there is no file ${path}`);
  if (!found.isDirectory()) return pathToFileURL(path).href;
  try {
    return pathToFileURL(createRequire(join(folder, 'plugins')).resolve(path)).href;
  } catch (error) {
    const wanted = 'package.json with the "main" of a module, nor an index.js';
    throw refusal(given, `the folder ${path} has neither a ${wanted}`, error);
  }
}

async function moduleOf(given: string, folder: string): Promise<string> {
  try {
    return import.meta.resolve(given);
  } catch (error) {
    const file = await stat(resolve(folder, given)).catch(() => undefined);
    const hint = file === undefined ? '' : ` A path begins with "./": ./${given}`;
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') {
      throw refusal(given, `it cannot be found: ${described(error)}.${hint}`, error);
    }
    throw refusal(given, `there is no such module in ${folder}, nor in a folder above.${hint}`, error);
  }
}

let from: string | undefined;

/**
 * From now on `tidemark` is this program wherever in this process it is imported: a plugin's own copy of the package would define plugins,
 * throw errors and make resources that this program does not know.
 */
function lendTidemark(folder: string): void {
  const registered = from !== undefined;
  from = pathToFileURL(join(folder, 'plugins')).href;
  if (registered) return;
  registerHooks({
    resolve(specifier, context, next) {
      const here = context.parentURL === import.meta.url;
      const ours = specifier === 'tidemark' || specifier.startsWith('tidemark/');
      if (ours && !here) return { url: import.meta.resolve(specifier), shortCircuit: true };
      return next(specifier, here && !ours && from !== undefined ? { ...context, parentURL: from } : context);
    },
  });
}

const ownFiles = join(import.meta.dirname, '../..');

/** The message, and the place in the plugin's files where there is one. */
function described(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const places = error.stack?.match(/(?<=[(\s]|file:\/\/)\/[^\s()]+:\d+(?=:\d+)/g) ?? [];
  const place = places.find((file) => !file.startsWith(ownFiles));
  return place === undefined ? error.message : `${error.message} (${place})`;
}

function refusal(given: string, reason: string, cause?: unknown): KernelError {
  return new KernelError('configuration', `plugin ${given}: ${reason}`, { cause });
}
