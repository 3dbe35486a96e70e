import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { command } from '../cli/command.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import {
  addFile,
  EXAMPLE,
  pluginFolder,
  type Receiver,
  receiver,
  removeFolder,
  type ServedPlugins,
  servePlugins,
} from './plugin-process.ts';

let test: TestDatabase;
let owner: Database;
let endpoint: Receiver;
let folder: string;
let env: Record<string, string>;
const servers: ServedPlugins[] = [];

beforeAll(async () => {
  endpoint = await receiver();
});

beforeEach(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl, poolSize: 2 });
  folder = pluginFolder(EXAMPLE);
  env = {
    DATABASE_URL: test.url,
    DATABASE_OWNER_URL: test.ownerUrl,
    TIDEMARK_PLUGINS: './plugin.ts',
    TIDEMARK_PLUGIN_TICKET_POSTER_URL: endpoint.url,
  };
  endpoint.received.length = 0;
});

afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
  await owner.close();
  await test.drop();
  removeFolder(folder);
});

afterAll(() => endpoint.close());

async function serve(more: Record<string, string> = {}): Promise<ServedPlugins> {
  const server = await servePlugins(folder, { ...env, ...more });
  servers.push(server);
  return server;
}

async function posts(): Promise<unknown[]> {
  const { rows } = await owner.query('SELECT ticket::text, tid::int, status FROM ticket_post ORDER BY ticket');
  return rows;
}

async function run(...args: string[]): Promise<string> {
  const { end, stdout, stderr } = await command(args, env, folder);
  expect({ end, stderr }).toEqual({ end: 0, stderr: '' });
  return stdout;
}

describe('the plugin of docs/writing-a-plugin.md, outside the repository', () => {
  it('imports only tidemark', () => {
    const sources = readdirSync(EXAMPLE, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
    const imports = sources.flatMap((file) => [
      ...readFileSync(join(EXAMPLE, file), 'utf8').matchAll(/(?:from|import|require)\s*\(?\s*['"]([^'"]+)['"]/g),
    ]);
    expect(imports.map((match) => match[1])).toEqual(['tidemark']);
  });

  it('posts each change of a ticket once, under its key, and remembers it in its own journaled table', async () => {
    const server = await serve();
    const created = await server.ask('POST', '/tickets', { summary: 'The lamp flickers' });
    expect(created.status).toBe(201);
    const { id } = created.body as { id: string };
    expect((await server.ask('PATCH', `/tickets/${id}`, { owner: 'alice', comment: 'hers' })).status).toBe(200);
    await waitUntil(async () => endpoint.received.length === 2 && (await posts()).length === 1, 'both are posted');

    const [first, second] = endpoint.received;
    expect(first?.body).toMatchObject({
      ticket: id,
      change: 'CREATE',
      values: { summary: 'The lamp flickers' },
    });
    expect(second?.body).toMatchObject({ change: 'MODIFY', comment: 'hers', values: { owner: 'alice' } });
    for (const { headers, body } of endpoint.received) {
      expect(headers['idempotency-key']).toBe(`${body['tid']}:ticket:${id}:ticket-poster.post`);
    }
    const tid = second?.body['tid'] as number;
    await waitUntil(
      async () => (await posts()).some((row) => (row as { tid: number }).tid === tid),
      'it is remembered',
    );
    expect(await posts()).toEqual([{ ticket: id, tid, status: 204 }]);

    const [latest = ''] = (await run('history', 'ticket_post', id, '--json')).split('\n');
    expect(JSON.parse(latest)).toMatchObject({
      author: 'ticket-poster',
      meta: { cause: { tid, listener: 'ticket-poster.post' } },
    });
    expect(await run('show', 'ticket_post', id)).toContain('status: 204');
  });

  it('tries again under the same key when it is not taken', async () => {
    endpoint.answers.push(500);
    const server = await serve();
    const { body } = await server.ask('POST', '/tickets', { summary: 'Again' });
    await waitUntil(async () => (await posts()).length === 1, 'it is remembered', 30_000);
    const keys = endpoint.received.map(({ headers }) => headers['idempotency-key']);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
    expect(await posts()).toEqual([expect.objectContaining({ ticket: (body as { id: string }).id, status: 204 })]);
  });

  it('posts a change that was made while no server ran, and one made through SQL', async () => {
    await (await serve()).stop();
    servers.length = 0;
    await owner.query(`INSERT INTO ticket (summary) VALUES ('typed into psql')`);
    await serve();
    await waitUntil(async () => (await posts()).length === 1, 'it is posted', 30_000);
    expect(endpoint.received[0]?.body).toMatchObject({ values: { summary: 'typed into psql' } });
  });

  it('shows its rows to whom its permissions let see them', async () => {
    const server = await serve();
    const tokens = await Promise.all(
      ['viewer', 'coordinator'].map(async (role) => {
        const made = JSON.parse(await run('token', 'create', '--user', role, '--role', role, '--json'));
        return (made as { token: string }).token;
      }),
    );
    await server.ask('POST', '/tickets', { summary: 'Seen' });
    await waitUntil(async () => (await posts()).length === 1, 'it is posted');
    const seen = await Promise.all(
      tokens.map(async (token) => {
        const { body } = await server.ask('GET', '/journal', undefined, token);
        return (body as { changes: { resource: string }[] }).changes.map(({ resource }) => resource);
      }),
    );
    expect(seen).toEqual([['ticket'], ['ticket', 'ticket_post']]);
    expect(await run('permissions')).toMatch(/ticket_post +read +- +- +- +- +yes +yes/);
  });

  it('is listed by the doctor, and its migrations by migrate', async () => {
    expect(await run('migrate')).toBe('applied ticket-poster/0001_ticket_post\n');
    expect(await run('migrate')).toContain('nothing to do');
    expect(await run('migrate', '--status')).toContain('applied  ticket-poster/0001_ticket_post');
    const healthy = JSON.parse(await run('doctor', '--json'));
    expect(healthy).toMatchObject({
      findings: 0,
      plugins: [{ name: 'ticket-poster', module: './plugin.ts', resources: ['ticket_post'] }],
    });
    await owner.query('ALTER TABLE ticket_post DISABLE TRIGGER tidemark_update');
    const { end, stdout } = await command(['doctor'], env, folder);
    expect({ end, stdout }).toEqual({
      end: 1,
      stdout: expect.stringContaining('ticket_post: trigger tidemark_update'),
    });
  });

  it('leaves a database that the program without it takes, and finds its own again', async () => {
    await (await serve()).stop();
    servers.length = 0;
    const without = { DATABASE_URL: test.url, DATABASE_OWNER_URL: test.ownerUrl };
    const status = await command(['migrate', '--status'], without, folder);
    expect(status).toMatchObject({ end: 0, stderr: '' });
    expect(status.stdout).not.toContain('ticket_post');
    expect((await command(['doctor'], without, folder)).stdout).toContain('plugin    ticket-poster: not loaded');
    const server = await servePlugins(folder, without);
    expect((await server.ask('POST', '/tickets', { summary: 'No plugin' })).status).toBe(201);
    await server.stop();
    expect(await run('migrate')).toContain('nothing to do');
    await serve();
    await waitUntil(async () => (await posts()).length === 1, 'it is told of what has happened meanwhile', 30_000);
  });

  it('starts as a program that owns nothing once it is migrated, and says who may migrate before', async () => {
    const { DATABASE_OWNER_URL, ...program } = env;
    const before = await command(['status'], program, folder);
    expect(before).toMatchObject({ end: 2, stderr: expect.stringContaining('ticket-poster/0001_ticket_post') });
    await run('migrate');
    expect(DATABASE_OWNER_URL).toBe(test.ownerUrl);
    env = program;
    const server = await serve();
    await server.ask('POST', '/tickets', { summary: 'Little rights' });
    await waitUntil(async () => (await posts()).length === 1, 'it is posted');
  });

  it('is refused on a database that a later version of it has migrated', async () => {
    addFile(folder, 'migrations/0002_more.sql', 'ALTER TABLE ticket_post ADD COLUMN more text');
    addFile(folder, 'migrations/0003_journaled.sql', "SELECT tidemark.journal_table('ticket_post')");
    await run('migrate');
    for (const file of ['0002_more.sql', '0003_journaled.sql']) rmSync(join(folder, 'migrations', file));
    const { end, stderr } = await command(['serve', '--port', '0'], env, folder);
    expect({ end, stderr }).toEqual({
      end: 2,
      stderr: expect.stringContaining('newer than the plugin ticket-poster: it holds the migration 0002_more'),
    });
  });
});
