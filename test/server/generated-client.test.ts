import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { repositoryRoot } from '../support/repository-root.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { type TestServer, TOKEN, testServer } from './server-fixture.ts';

const run = promisify(execFile);
const root = repositoryRoot();
// The generator needs TypeScript 5, and has a package of its own for that.
const generator = join(
  dirname(createRequire(join(root, 'test/client/package.json')).resolve('openapi-typescript/package.json')),
  'bin/cli.js',
);
const compiler = join(root, 'node_modules/typescript/bin/tsc');
const options = {
  ...{ strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, noEmitOnError: true },
  ...{ target: 'es2024', module: 'nodenext', lib: ['es2025', 'dom'], types: ['node'], outDir: 'out' },
};

/** What stands in the program, what a mistake would make of it, and what the compiler says to that. */
const MISTAKES: [string, string, RegExp][] = [
  ['body: { text, comment:', 'body: { txet: text, comment:', /'txet' does not exist/],
  ['body: { text, comment:', 'body: { comment:', /Property 'text' is missing/],
  ['created.page?.version', 'created.page?.verison', /'verison' does not exist/],
  ["'/wiki/{name}/history'", "'/wiki/{name}/histories'", /histories/],
  ['{ path: { name } } });\nconst steps', '{ path: {} } });\nconst steps', /Property 'name' is missing/],
  ['limit: 1,', "limit: 'one',", /'string' is not assignable to type 'number'/],
  ["action: 'accept'", 'action: 7', /'number' is not assignable to type 'string'/],
  ['taken.data?.status', 'taken.data?.state', /'state' does not exist/],
  ["case 'stale':", 'case 412:', /not comparable/],
];

let database: TestDatabase;
let server: TestServer;
let folder: string;

beforeAll(async () => {
  database = await testDatabase();
  server = await testServer(database.url);
  folder = await mkdtemp(join(tmpdir(), 'tidemark-client-'));
  await cp(join(root, 'test/client/program.ts'), join(folder, 'program.ts'));
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, include: ['*.ts'] }));
  await node(generator, `${server.url}/openapi.json`, '-o', join(folder, 'api.ts'));
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
  if (folder) await rm(folder, { recursive: true });
});

function node(script: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const { NODE_OPTIONS: _, ...env } = process.env;
  return run(process.execPath, [script, ...args], { cwd: folder, env });
}

/** What the compiler has against a program. */
async function typeErrors(): Promise<string> {
  return node(compiler, '-p', folder).then(
    () => '',
    (error: { stdout: string }) => error.stdout,
  );
}

describe('a client that is generated from /openapi.json', () => {
  it('is strictly typed, and works', async () => {
    expect(await typeErrors()).toBe('');
    const { stdout } = await node(join(folder, 'out/program.js'), server.url, TOKEN);
    expect(JSON.parse(stdout)).toEqual({
      created: [201, 1],
      again: 'somebody was faster',
      changed: [200, 'two'],
      late: ['somebody was faster', true],
      history: [
        { old: 'one', new: 'two' },
        { old: null, new: 'one' },
      ],
      missing: 'there is none',
      unchecked: 'text: is missing: must be text,txet: is not known here; known are text, comment, readonly',
      journal: ['wiki CREATE admin'],
      found: ['notes/a client', 'notes/b', 'notes/c', 'notes/d', 'notes/e'],
      ticket: [201, 'accepted', 2, 'somebody was faster'],
      offered: expect.arrayContaining([['resolve', true]]),
      told: [
        ['MODIFY', 1, 'mine'],
        ['CREATE', null, null],
      ],
      tickets: ['The door sticks'],
    });
  });

  it('does not compile when it is used wrongly', async () => {
    const program = await readFile(join(root, 'test/client/program.ts'), 'utf8');
    await Promise.all(
      MISTAKES.map(([right, wrong], n) => {
        expect([right, program.split(right).length]).toEqual([right, 2]);
        return writeFile(join(folder, `mistake-${n}.ts`), program.replace(right, wrong));
      }),
    );
    const told = (await typeErrors()).split(/^(?=\S)/m);
    MISTAKES.forEach(([, wrong, message], n) => {
      const errors = told.filter((line) => line.startsWith(`mistake-${n}.ts`)).join('');
      expect([wrong, errors]).toEqual([wrong, expect.stringMatching(message)]);
    });
  });
});

describe('the OpenAPI document', () => {
  async function faultsOf(document: unknown): Promise<string> {
    await writeFile(join(folder, 'openapi.json'), JSON.stringify(document));
    return (await node(join(root, 'test/client/validate.mjs'), join(folder, 'openapi.json'))).stdout;
  }

  it('is valid, and an invalid one is told from it', async () => {
    const document = await (await server.ask('/openapi.json')).json();
    expect(await faultsOf(document)).toBe('');
    document.paths['/wiki'].get.responses['200'].content = 7;
    expect(await faultsOf(document)).toMatch(/^struct: Expected type `MediaTypesMap`/m);
    document.paths['/wiki'].get.responses['200'].content = {
      'application/json': { schema: { $ref: '#/components/schemas/None' } },
    };
    expect(await faultsOf(document)).toMatch(/^no-unresolved-refs/m);
  });
});
