import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { repositoryRoot } from '../support/repository-root.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { pluginFolder, type Receiver, receiver, removeFolder, servePlugins } from './plugin-process.ts';

let test: TestDatabase;
let endpoint: Receiver;
let folder: string;

beforeAll(async () => {
  test = await testDatabase();
  endpoint = await receiver();
  const plugin = readFileSync(join(repositoryRoot(), 'test/consumer/src/server-plugin.ts'), 'utf8');
  folder = pluginFolder({ 'plugin.ts': plugin });
});
afterAll(async () => {
  endpoint.close();
  await test.drop();
  removeFolder(folder);
});

it('a plugin from outside is told what happened to pages and tickets', async () => {
  const server = await servePlugins(folder, {
    DATABASE_URL: test.url,
    TIDEMARK_PLUGINS: './plugin.ts',
    TIDEMARK_PLUGIN_TOWN_CRIER_URL: endpoint.url,
  });
  await server.ask('PUT', '/wiki/Old', { text: 'text' });
  await server.ask('POST', '/wiki/Old/rename', { to: 'New' });
  await server.ask('POST', '/tickets', { summary: 'broken' });
  await server.ask('PATCH', '/tickets/1', { priority: 'minor', comment: 'not so bad' });
  await waitUntil(() => endpoint.received.length === 2, 'both are told');
  expect(
    endpoint.received.map(({ body }) => body).sort((a, b) => String(a['text']).localeCompare(String(b['text']))),
  ).toEqual([
    { text: 'admin: 1 major → minor, not so bad', key: expect.stringMatching(/^\d+:ticket:1:town-crier\.tickets$/) },
    { text: 'Old is called New', key: expect.stringMatching(/^\d+:wiki:\d+:town-crier\.pages$/) },
  ]);
  await server.stop();
});
