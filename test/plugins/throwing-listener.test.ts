import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { command } from '../cli/command.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { pluginFolder, type Receiver, receiver, removeFolder, servePlugins } from './plugin-process.ts';

let test: TestDatabase;
let owner: Database;
let endpoint: Receiver;
let folder: string;

const broken = `
  import { definePlugin } from 'tidemark';
  class Always {
    #name = 'no coffee';
    name = 'always';
    onPrimary() { throw new Error(this.#name); }
    onSecondary() { throw new Error(this.#name); }
    onDelivered() { throw new Error(this.#name); }
  }
  export default definePlugin({ name: 'broken', listeners: () => [new Always()] });`;

const fine = `
  import { definePlugin } from 'tidemark';
  export default definePlugin({
    name: 'fine',
    config: { url: { sentence: 'where to', read: (text) => new URL(text) } },
    listeners: ({ config }) => [
      {
        name: 'post',
        resources: ['ticket', 'tikcet'],
        async onPrimary(change, effect) {
          await fetch(config.url, { method: 'POST', body: JSON.stringify({ key: effect.key }) });
        },
      },
    ],
  });`;

beforeAll(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl, poolSize: 2 });
  endpoint = await receiver();
  folder = pluginFolder({ 'broken.mjs': broken, 'fine.mjs': fine });
});

afterAll(async () => {
  endpoint.close();
  await owner.close();
  await test.drop();
  removeFolder(folder);
});

it('a listener that always throws holds up nobody: not requests, not the tail, not the listeners of others', async () => {
  const server = await servePlugins(folder, {
    DATABASE_URL: test.url,
    TIDEMARK_PLUGINS: './broken.mjs,./fine.mjs',
    TIDEMARK_PLUGIN_FINE_URL: endpoint.url,
  });
  const tids: number[] = [];
  for (let n = 1; n <= 30; n++) {
    const { status, body } = await server.ask('POST', '/tickets', { summary: `ticket ${n}` });
    expect(status).toBe(201);
    tids.push((body as { tid: number }).tid);
  }
  await waitUntil(() => endpoint.received.length === tids.length, 'the other listener is told of everything');
  expect(endpoint.received.map(({ body }) => body['key']).sort()).toEqual(
    expect.arrayContaining([expect.stringMatching(/^\d+:ticket:1:fine\.post$/)]),
  );
  expect(new Set(endpoint.received.map(({ body }) => body['key'])).size).toBe(tids.length);

  const failed = async () => {
    const { rows } = await owner.query<{ state: string; last_error: string; n: number }>(
      `SELECT state, last_error, count(*)::int AS n FROM tidemark.effects WHERE listener = 'broken.always' GROUP BY 1, 2`,
    );
    return rows;
  };
  await waitUntil(
    async () => (await failed()).every(({ state, n }) => state === 'failed' && n === tids.length),
    'all have failed once',
  );
  expect(await failed()).toEqual([{ state: 'failed', last_error: 'no coffee', n: tids.length }]);

  const { body: status } = await server.ask('GET', '/status');
  const { effects } = status as { effects: { listener: string; failed: number; last_error: string | null }[] };
  const ofPlugins = effects.filter(({ listener }) => /^(broken|fine)\./.test(listener));
  expect(ofPlugins).toEqual([
    expect.objectContaining({ listener: 'broken.always', failed: tids.length, last_error: 'no coffee' }),
    expect.objectContaining({ listener: 'fine.post', failed: 0, pending: 0, done: tids.length, last_error: null }),
  ]);
  const said = await command(['status'], { DATABASE_URL: test.url }, folder);
  expect(said.stdout).toContain('it fails of "no coffee": tidemark effects list --listener broken.always');
  expect((await server.ask('GET', '/health/ready')).status).toBe(200);
  await server.stop();
  const log = server.stdout();
  expect(log).toContain(
    'the listener fine.post waits for changes of tikcet, which is no resource of this program. Did you mean ticket?',
  );
  expect(log).toContain('"listener":"broken.always"');
});
