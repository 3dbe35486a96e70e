import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Kernel } from '#libs/kernel';
import { putPage, type Told, wikiListener } from '#libs/resources';
import { type TestServer, testServer } from '../server/server-fixture.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { command } from './command.ts';

const PAGES = ['First', 'Second', 'Third', 'Fourth'];
let database: TestDatabase;
let server: TestServer;
let folder: string;
const tids: number[] = [];

// Each page that is made makes the next one, through a listener of its own: three effects deep.
beforeAll(async () => {
  database = await testDatabase();
  folder = await mkdtemp(join(tmpdir(), 'tidemark-causes-'));
  const prepare = (kernel: Kernel) => {
    for (const n of [0, 1, 2]) chain(kernel, n);
  };
  server = await testServer(database.url, {}, { prepare });
  await server.put('First', 'text');
  await waitUntil(async () => (await server.ask('/wiki/Fourth')).status === 200, 'the chain has come to its end');
  for (const page of PAGES) tids.push((await (await server.ask(`/wiki/${page}`)).json()).tid);
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
  await rm(folder, { recursive: true });
});

function chain(kernel: Kernel, n: number): void {
  const pageAdded = async ({ name }: { name: string }, { effect }: Told) => {
    if (name !== PAGES[n]) return;
    await effect?.commit((writer) => putPage(writer, { author: 'machine' }, PAGES[n + 1] as string, { text: 'text' }));
  };
  kernel.listen(wikiListener(kernel.database, { name: `after-${PAGES[n]}`, pageAdded }));
}

const causes = () => [
  { tid: tids[2], listener: 'after-Third' },
  { tid: tids[1], listener: 'after-Second' },
  { tid: tids[0], listener: 'after-First' },
];
const history = async (page: string, ...more: string[]) => {
  const { stdout } = await command(['history', 'wiki', page, ...more], { DATABASE_URL: database.url }, folder);
  return stdout;
};

describe('what effects have changed', () => {
  it('tells by which chain of tids and listeners it was caused', async () => {
    expect(await history('Fourth')).toContain(
      `  caused by tid ${tids[2]} (listener after-Third) ← tid ${tids[1]} (listener after-Second) ← tid ${tids[0]} (listener after-First)\n`,
    );
    expect(await history('Second')).toMatch(/ caused by tid \d+ \(listener after-First\)\n$/);
    expect(await history('First')).not.toContain('caused');
  });

  it('tells so as JSON, too, and over HTTP', async () => {
    expect(JSON.parse(await history('Fourth', '--json')).causes).toEqual(causes());
    expect(JSON.parse(await history('First', '--json')).causes).toEqual([]);
    const { items } = await (await server.ask('/wiki/Fourth/history')).json();
    expect(items.map((item: { causes: unknown }) => item.causes)).toEqual([causes()]);
  });

  it('tells the last step in the tail', async () => {
    const { stdout } = await command(['tail'], { DATABASE_URL: database.url }, folder);
    const [last] = stdout.trimEnd().split('\n').slice(-1);
    expect(last).toMatch(new RegExp(`caused by tid ${tids[2]} \\(listener after-Third\\)$`));
  });

  it('is not led astray by a meta that others have written', async () => {
    const forge = async (name: string, meta: object) => {
      const actor = JSON.stringify({ author: 'i', meta });
      await server.database.query(
        `WITH a AS (SELECT set_config('tidemark.actor', $1, true) AS set) INSERT INTO wiki (name, text) SELECT $2, set FROM a`,
        [actor, name],
      );
      const told = JSON.parse(await history(name, '--json'));
      expect(told.meta).toEqual(meta);
      return told.causes;
    };
    expect(await forge('Forged', { cause: { tid: 'x', listener: 7 } })).toEqual([]);
    expect(await forge('Ahead', { cause: { tid: 10 ** 12, listener: 'later', depth: 1 } })).toEqual([]);
    expect(await forge('Vague', { cause: null })).toEqual([]);
  });
});
