import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { command } from '../cli/command.ts';
import { repositoryRoot } from '../support/repository-root.ts';
import { pluginFolder, removeFolder } from './plugin-process.ts';

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) removeFolder(folder);
});

/** The permissions that plugins in a folder add: a command that needs no database. */
async function permissionsOf(files: Record<string, string>, plugins: string, flags: string[] = []): Promise<string[]> {
  const folder = pluginFolder(files);
  folders.push(folder);
  const env = plugins === '' ? {} : { TIDEMARK_PLUGINS: plugins };
  const { end, stdout, stderr } = await command(['permissions', '--json', ...flags], env, folder);
  expect({ end, stderr }).toEqual({ end: 0, stderr: '' });
  const core = 'journal';
  const resources = new Set((JSON.parse(stdout) as { resource: string }[]).map(({ resource }) => resource));
  expect(resources).toContain(core);
  return [...resources].filter((resource) => resource.startsWith('thing'));
}

const defining = (name: string) => `{ name: '${name}', permissions: { thing_${name}: { read: ['viewer', 'x'] } } }`;
const esm = (name: string) =>
  `import { definePlugin } from 'tidemark';\nexport default definePlugin(${defining(name)});\n`;
const manifest = (about: object) => JSON.stringify({ type: 'module', ...about });

describe('a plugin is loaded', () => {
  it('from a file, a folder, a module, and a module in CommonJS or TypeScript', async () => {
    const files = {
      'a.mjs': esm('a'),
      'b/package.json': manifest({ main: './lib/b.js' }),
      'b/lib/b.js': esm('b'),
      'node_modules/c/package.json': manifest({ name: 'c', exports: './main.js' }),
      'node_modules/c/main.js': esm('c'),
      'node_modules/@my/d/package.json': JSON.stringify({ name: '@my/d', main: 'd.cjs' }),
      'node_modules/@my/d/d.cjs': `module.exports = require('tidemark').definePlugin(${defining('d')});`,
      'e.ts': `${esm('e')}\nexport const one: number = 1;`,
    };
    expect(await permissionsOf(files, './a.mjs, ./b,c, @my/d,./e.ts,')).toEqual([
      ...['thing_a', 'thing_b', 'thing_c', 'thing_d', 'thing_e'],
    ]);
  });

  it('by a flag of any command', async () => {
    expect(await permissionsOf({ 'a.mjs': esm('a') }, '', ['--plugins', './a.mjs'])).toEqual(['thing_a']);
  });

  it('with the running program as tidemark, also when it has brought another copy along', async () => {
    const files = {
      'node_modules/tidemark/package.json': manifest({ name: 'tidemark', exports: './other.js', version: '0.0.1' }),
      'node_modules/tidemark/other.js': `throw new Error('this is another copy');`,
      'node_modules/deep/package.json': manifest({ name: 'deep', exports: './deep.js' }),
      'node_modules/deep/deep.js': `export { definePlugin, KernelError } from 'tidemark';`,
      'node_modules/deep/node_modules/tidemark/package.json': manifest({ name: 'tidemark', exports: './other.js' }),
      'node_modules/deep/node_modules/tidemark/other.js': `throw new Error('this is a third copy');`,
      'p.mjs': `
        import { createRequire } from 'node:module';
        import { definePlugin, KernelError } from 'deep';
        import * as direct from 'tidemark';
        const required = createRequire(import.meta.url)('tidemark');
        const inside = await import(${JSON.stringify(join(repositoryRoot(), 'dist/libs/tidemark/index.js'))});
        if (![direct.KernelError, required.KernelError, inside.KernelError].every((it) => it === KernelError)) {
          throw new Error('there are several copies');
        }
        const { testDatabase } = await import('tidemark/testing');
        if (!testDatabase || import.meta.resolve('tidemark') === undefined) throw new Error('a door is closed');
        export default definePlugin(${defining('p')});`,
    };
    expect(await permissionsOf(files, './p.mjs')).toEqual(['thing_p']);
  });
});
