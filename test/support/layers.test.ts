import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { layerViolations } from './layers.ts';
import { repositoryRoot } from './repository-root.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tidemark-layers-'));
});

afterEach(() => rmSync(root, { recursive: true }));

function violationsOf(file: string, text: string): string[] {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
  return layerViolations(root);
}

describe('the layer rule', () => {
  it('holds in this repository', () => {
    expect(layerViolations(repositoryRoot())).toEqual([]);
  });

  const refused: [string, string, string][] = [
    ['libs/database/a.ts', `import { x } from '#libs/journal';`, 'database may not import journal'],
    ['libs/kernel/a.ts', `import { x } from '#libs/resources';`, 'kernel may not import resources'],
    ['libs/resources/wiki/a.ts', `import { x } from '#libs/nest';`, 'resources may not import nest'],
    ['libs/journal/a.ts', `import { x } from '../database/pool.ts';`, 'reaches out of libs/journal'],
    ['libs/journal/deep/a.ts', `export * from '../../database/index.ts';`, 'reaches out of libs/journal'],
    ['apps/cli/a.ts', `import { x } from '../../libs/database/pool.ts';`, 'reaches out of apps'],
    ['libs/journal/a.ts', `import pg from 'pg';`, 'pg is used in libs/database only'],
    ['apps/cli/a.ts', `const pg = await import('pg');`, 'pg is used in libs/database only'],
    ['libs/kernel/a.ts', `import { Module } from '@nestjs/common';`, '@nestjs is used in'],
    ['libs/database/a.ts', `const home = process.env.HOME;`, 'process.env is read in'],
    ['libs/dispatch/a.ts', `console.log(1);`, 'console is used in apps/ only'],
  ];
  for (const [file, text, rule] of refused) {
    it(`refuses ${text} in ${file}`, () => {
      expect(violationsOf(file, text)).toEqual([expect.stringContaining(`${file}: ${rule}`)]);
    });
  }

  const allowed: [string, string][] = [
    ['libs/journal/a.ts', `import { x } from '#libs/database'; import { y } from './b.ts';`],
    ['libs/resources/wiki/a.ts', `import { x } from '#libs/dispatch'; import { y } from '../index.ts';`],
    ['libs/database/a.ts', `import pg from 'pg';`],
    ['apps/server/wiki/a.ts', `import { Get } from '@nestjs/common'; import { x } from '../problem.ts';`],
    ['apps/cli/a.ts', `import { x } from '#libs/resources'; console.log(x);`],
    ['libs/kernel/config.ts', `export const read = () => process.env;`],
  ];
  for (const [file, text] of allowed) {
    it(`allows ${text} in ${file}`, () => {
      expect(violationsOf(file, text)).toEqual([]);
    });
  }
});
