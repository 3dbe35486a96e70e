#!/usr/bin/env node
// This file alone has to be understood by any Node: nothing else is imported before the version is known.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NEEDED = [24, 9];

if (recentEnough(process.versions.node)) {
  // what was compiled at the last start is not compiled again: a third of the time that a start takes
  module.enableCompileCache();
  const { run } = await import('./program.ts');
  await run(process.argv);
} else {
  startAgain(projectNode());
}

function recentEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > (NEEDED[0] as number) || (major === NEEDED[0] && minor >= (NEEDED[1] as number));
}

/** The Node that the project has brought along: npm puts it in the nearest node_modules/.bin. */
function projectNode(): string | undefined {
  const self = fileURLToPath(import.meta.url);
  for (let folder = dirname(self); folder !== dirname(folder); folder = dirname(folder)) {
    const node = join(folder, 'node_modules', '.bin', 'node');
    if (existsSync(node)) return node;
  }
  return undefined;
}

function startAgain(node: string | undefined): void {
  if (node === undefined) {
    console.error(
      `tidemark needs Node ${NEEDED.join('.')} or newer; this is ${process.versions.node}, and there is none in node_modules/.bin. ` +
        'Run "npm ci" with optional dependencies in the project, or install a newer Node.',
    );
    process.exitCode = 2;
    return;
  }
  const child = spawn(node, [...process.execArgv, ...process.argv.slice(1)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`tidemark cannot start ${node}: ${error.message}`);
    process.exitCode = 2;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 70);
  });
}
