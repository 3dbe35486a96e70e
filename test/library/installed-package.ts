import { execFile } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { repositoryRoot } from '../support/repository-root.ts';

const run = promisify(execFile);

/** A project outside the repository, with this package installed from its tarball. */
export interface Project {
  readonly folder: string;
  /** Runs Node there, with nothing of this process's environment; what it prints. Rejects with that when it fails. */
  node(args: readonly string[], environment?: Record<string, string>): Promise<string>;
  /** The files that Node loaded in all runs so far. */
  loaded(): string[];
}

interface Manifest {
  readonly dependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}

/**
 * Copies a project out of the repository and installs the packed package there. Its other dependencies, and those that the package itself
 * declares, are links to what is installed here: nothing is fetched.
 */
export async function installedPackage(source: string, without: readonly string[] = []): Promise<Project> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'tidemark-consumer-')));
  chmodSync(folder, 0o755);
  cpSync(source, folder, { recursive: true });
  const modules = join(folder, 'node_modules');
  const target = join(modules, 'tidemark');
  mkdirSync(target, { recursive: true });
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], {
    cwd: repositoryRoot(),
  });
  await run('tar', ['xzf', join(folder, stdout.trim()), '--strip-components=1', '-C', target]);
  const wanted = [manifestOf(folder), manifestOf(target)].flatMap((manifest) => [
    ...Object.keys(manifest.dependencies ?? {}),
    ...Object.keys(manifest.peerDependencies ?? {}),
    ...Object.keys(manifest.optionalDependencies ?? {}),
  ]);
  const tools = Object.keys(manifestOf(folder).devDependencies ?? {});
  for (const name of new Set([...wanted, ...tools]))
    if (name !== 'tidemark' && !without.includes(name)) link(modules, name);
  const trace = join(folder, 'trace.mjs');
  writeFileSync(
    trace,
    `import { appendFileSync } from 'node:fs';
     import { registerHooks } from 'node:module';
     registerHooks({ load(url, context, next) { appendFileSync(${JSON.stringify(`${trace}.log`)}, url + '\\n'); return next(url, context); } });`,
  );
  return {
    folder,
    async node(args, environment = {}) {
      const env = { PATH: process.env['PATH'] ?? '', HOME: folder, ...environment };
      const options = { cwd: folder, env: { ...env, NODE_OPTIONS: `--import=${trace}` }, maxBuffer: 64 * 1024 * 1024 };
      const outcome = await run(process.execPath, [...args], options).catch((error) => {
        throw new Error(`node ${args.join(' ')} failed:\n${error.stdout}${error.stderr}`);
      });
      return outcome.stdout;
    },
    loaded: () => [
      ...new Set(
        readFileSync(`${trace}.log`, 'utf8')
          .split('\n')
          .filter((url) => url.startsWith('file:'))
          .map((url) => new URL(url).pathname),
      ),
    ],
  };
}

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
}

/** Packages for other platforms are not there. */
function link(modules: string, name: string): void {
  const installed = join(repositoryRoot(), 'node_modules', name);
  const place = join(modules, name);
  mkdirSync(dirname(place), { recursive: true });
  try {
    symlinkSync(realpathSync(installed), place);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
