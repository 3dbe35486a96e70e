import { realpathSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { stopEmbedded } from '#libs/embedded';
import { repositoryRoot } from '../support/repository-root.ts';
import { installedPackage, type Project } from './installed-package.ts';

const consumer = join(repositoryRoot(), 'test/consumer');

describe('the packed package, installed outside the repository', () => {
  let shop: Project;

  beforeAll(async () => {
    shop = await installedPackage(consumer);
  });

  afterAll(async () => {
    await stopEmbedded(join(shop.folder, 'node_modules/.cache/tidemark'), { force: true });
    await rm(shop.folder, { recursive: true });
  });

  it('types a strict program, all declarations checked', async () => {
    expect(await shop.node(['node_modules/typescript/bin/tsc', '--listFilesOnly'])).toContain(
      'node_modules/tidemark/dist/libs/nest/index.d.ts',
    );
    expect(await shop.node(['node_modules/typescript/bin/tsc'])).toBe('');
  });

  it("passes the program's own tests, on the PostgreSQL that comes with it", async () => {
    const report = await shop.node(['--test', '--test-reporter=tap', 'dist/test/*.test.js']);
    expect(report).toMatch(/^# pass [1-9]/m);
    expect(report).toMatch(/^# fail 0$/m);
  });

  it('reaches nothing of the repository but the packages that it declares', () => {
    const packages = join(realpathSync(join(repositoryRoot(), 'node_modules')), sep);
    const foreign = shop
      .loaded()
      .filter(
        (file) => !file.startsWith(shop.folder + sep) && (!file.startsWith(packages) || file.includes('tidemark')),
      );
    expect(foreign).toEqual([]);
    expect(shop.loaded()).toContain(join(shop.folder, 'node_modules/tidemark/dist/libs/nest/index.js'));
  });

  it('lets nobody past its doors', async () => {
    const attempt = (path: string) => shop.node(['--input-type=module', '--eval', `await import('${path}')`]);
    await expect(attempt('tidemark/dist/libs/journal/index.js')).rejects.toThrow('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });

  it('brings a command that works', async () => {
    expect(await shop.node(['node_modules/tidemark/dist/apps/cli/main.js', '--help'])).toContain('migrate');
  });
});

describe('the packed package in a program without Nest', () => {
  it('loads nothing of Nest or the server, and needs none of it', async () => {
    const nest = ['common', 'core', 'cqrs', 'platform-fastify', 'swagger'].map((name) => `@nestjs/${name}`);
    const absent = [...nest, '@fastify/static', 'fastify', 'reflect-metadata', 'rxjs', 'pino', 'commander', 'zod'];
    const plain = await installedPackage(consumer, absent);
    await writeFile(
      join(plain.folder, 'plain.mjs'),
      `import { createKernel, defineResource } from 'tidemark';
       import { wikiListener } from 'tidemark/server';
       import { settled, testDatabase } from 'tidemark/testing';
       const kernel = createKernel({ connection: 'postgres://localhost/none', resources: [defineResource({ name: 'a' })] });
       console.log([typeof settled, typeof testDatabase, typeof wikiListener, ...kernel.resources.keys()].join());
       await kernel.close();`,
    );
    expect(await plain.node(['plain.mjs'])).toBe('function,function,function,a\n');
    expect(plain.loaded().filter((file) => /@nestjs|fastify|pino|rxjs/.test(file))).toEqual([]);
    await rm(plain.folder, { recursive: true });
  });

  it('loads the module for Nest without @nestjs/cqrs, which only the bridge needs', async () => {
    const plain = await installedPackage(consumer, ['@nestjs/cqrs']);
    const script = `console.log(typeof (await import('tidemark/nest')).TidemarkModule.forRoot)`;
    expect(await plain.node(['--input-type=module', '--eval', script])).toBe('function\n');
    await rm(plain.folder, { recursive: true });
  });
});
