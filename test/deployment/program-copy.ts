import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Started, startCommand } from '../cli/command.ts';
import { repositoryRoot } from '../support/repository-root.ts';
import { waitUntil } from '../support/wait-until.ts';

/** Another version of the program: a copy of the built one, with other migrations. */
export interface ProgramCopy {
  readonly folder: string;
  /** Its command line. */
  run(args: readonly string[], env: Record<string, string>): Started;
  /** A server of it, and its address. Throws what it said when it does not start. */
  serve(env: Record<string, string>): Promise<{ started: Started; url: string }>;
  addMigration(file: string, sql: string): void;
  remove(): void;
}

/** Copies what is built; the packages are shared. */
export function copyProgram(): ProgramCopy {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-version-'));
  const root = repositoryRoot();
  for (const part of ['package.json', 'migrations', 'dist/apps', 'dist/libs', 'dist/migrations']) {
    if (!existsSync(join(root, part))) continue;
    cpSync(join(root, part), join(folder, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const main = join(folder, 'dist/apps/cli/main.js');
  const run = (args: readonly string[], env: Record<string, string>) => startCommand(args, env, folder, main);
  return {
    ...{ folder, run },
    addMigration: (file, sql) => writeFileSync(join(folder, 'migrations', file), sql),
    async serve(env) {
      const started = run(['serve', '--port', '0', '--log-level', 'warn'], env);
      let over = false;
      void started.ended.then(() => {
        over = true;
      });
      await waitUntil(() => over || started.stdout().includes('ready on'), 'the server is ready', 60_000);
      const [url] = /http:\/\/\S+/.exec(started.stdout()) ?? [];
      if (url === undefined) throw new Error(`the server did not start: ${started.stderr()}`);
      return { started, url };
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}
