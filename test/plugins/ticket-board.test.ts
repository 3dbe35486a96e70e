import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { command, startCommand } from '../cli/command.ts';
import { repositoryRoot } from '../support/repository-root.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { addFile, pluginFolder, removeFolder, type ServedPlugins, servePlugins } from './plugin-process.ts';

// The plugin of docs/projections.md, outside the repository, in a server that runs all the while.

let test: TestDatabase;
let owner: Database;
let folder: string;
let env: Record<string, string>;
let server: ServedPlugins;

beforeAll(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl, poolSize: 3 });
  folder = pluginFolder(join(repositoryRoot(), 'test/plugins/ticket-board'));
  env = { DATABASE_URL: test.url, DATABASE_OWNER_URL: test.ownerUrl, TIDEMARK_PLUGINS: './plugin.ts' };
  server = await servePlugins(folder, env);
}, 120_000);

afterAll(async () => {
  await server?.stop();
  await owner.close();
  await test.drop();
  removeFolder(folder);
});

const tidemark = (...args: string[]) => command(args, env, folder);

interface Stood {
  readonly name: string;
  readonly tid: number;
  readonly error: string | null;
}

/** How the plugin's stand. */
async function projections(): Promise<Stood[]> {
  const { body } = await server.ask('GET', '/status');
  return (body as { projections: Stood[] }).projections.filter(({ name }) => name.startsWith('ticket_'));
}

async function caughtUp(): Promise<void> {
  const { rows } = await owner.query<{ tid: number }>('SELECT max(tid) AS tid FROM tidemark.journal');
  const { tid } = rows[0] as { tid: number };
  const all = async () => (await projections()).every((one) => one.tid >= tid);
  await waitUntil(all, `the projections reflect tid ${tid}`, 60_000);
}

async function rows(table: string): Promise<unknown[]> {
  const found = await owner.query<{ row: unknown }>(`SELECT to_json(t) AS row FROM ${table} t ORDER BY t`);
  return found.rows.map(({ row }) => row);
}

it('counts tickets by owner and status, and adds up the time that they are in each status', async () => {
  const create = (ticket: object) => server.ask('POST', '/tickets', { summary: 'S', ...ticket });
  for (const ticket of [{ owner: 'ann' }, { owner: 'ann' }, { owner: 'bob' }]) await create(ticket);
  await server.ask('PATCH', '/tickets/2', { owner: 'bob' });
  await server.ask('PATCH', '/tickets/1', { action: 'accept' });
  await caughtUp();
  const board = `(SELECT owner, status, count(*)::int AS tickets FROM ticket GROUP BY owner, status)`;
  expect(await rows('ticket_board')).toEqual(await rows(board));
  expect(await rows('ticket_board')).toHaveLength(2);
  const times = `(SELECT t.ticket, t.status, t.since FROM ticket_time t WHERE since IS NOT NULL)`;
  const since = `(SELECT h.id::int AS ticket, h.value #>> '{}' AS status, j.time AS since
    FROM (SELECT DISTINCT ON (id) * FROM ticket_history WHERE field = 'status' ORDER BY id, tid DESC) h JOIN ticket_journal j USING (tid, id))`;
  expect(await rows(times)).toEqual(await rows(since));
});

it('status tells of each, over HTTP and on the command line', async () => {
  await caughtUp();
  expect(await projections()).toMatchObject([
    {
      name: 'ticket_board',
      version: 1,
      lag_rows: 0,
      lag_ms: 0,
      owner: expect.any(String),
      failing: false,
      error: null,
      rebuilding: null,
    },
    { name: 'ticket_time', version: 1, lag_rows: 0 },
  ]);
  const { stdout } = await tidemark('status');
  expect(stdout).toMatch(/^projection ticket_board \(version 1\) at \d+, by \S+:\d+$/m);
  await owner.query('ALTER TABLE ticket_board ADD CONSTRAINT few CHECK (tickets < 3)');
  for (let n = 0; n < 3; n++) await server.ask('POST', '/tickets', { summary: 'S', owner: 'carla' });
  await waitUntil(async () => (await projections())[0]?.error !== null, 'the failure is told', 60_000);
  expect((await tidemark('status')).stdout).toMatch(
    /^projection ticket_board .* changes and \d+ ms behind.*\n {2}it fails of ".*few.*" since /m,
  );
  await owner.query('ALTER TABLE ticket_board DROP CONSTRAINT few');
  await caughtUp();
  expect((await projections())[0]?.error).toBeNull();
});

it('a rebuild mends them while the server runs', async () => {
  const before = [await rows('ticket_board'), await rows('ticket_time')];
  await owner.query(`UPDATE ticket_board SET tickets = 99; DELETE FROM ticket_time`);
  for (const [n, name] of ['ticket_board', 'ticket_time'].entries()) {
    const { end, stdout, stderr } = await tidemark('rebuild', name, '--json');
    expect([end, JSON.parse(stdout)]).toEqual([
      0,
      { projection: name, version: 1, tid: expect.any(Number), resumed: false },
    ]);
    expect(stderr).toMatch(/tids/);
    expect(await rows(name)).toEqual(before[n]);
  }
});

it('a rebuild that is killed -9 or interrupted is gone on with; only one runs at a time', async () => {
  const reader = await owner.connect();
  await reader.query('BEGIN');
  await reader.query('SELECT FROM ticket_board');
  const killed = startCommand(['rebuild', 'ticket_board'], env, folder);
  const ready = async () => (await owner.query('SELECT FROM tidemark.projection_rebuilds WHERE done')).rowCount === 1;
  await waitUntil(ready, 'only the swap is left to do', 60_000);
  expect(await tidemark('rebuild', 'ticket_board')).toEqual({
    end: 4,
    stdout: '',
    stderr: 'tidemark: the projection ticket_board is being rebuilt already\n',
  });
  expect((await tidemark('status')).stdout).toMatch(/^projection ticket_board .*, a rebuild has come to \d+$/m);
  killed.process.kill('SIGKILL');
  await killed.ended;
  // the server may not have noticed yet that its client is dead
  const locks = async (what: string) => (await owner.query(`SELECT FROM pg_locks WHERE ${what}`)).rowCount;
  const held = `locktype = 'advisory' AND granted AND classid::int = hashtext('tidemark rebuild')
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
  const swaps = `NOT granted AND relation = 'ticket_board'::regclass`;
  await waitUntil(async () => (await locks(`(${held}) OR (${swaps})`)) === 0, 'nothing is left of it', 60_000);
  const interrupted = startCommand(['rebuild', 'ticket_board'], env, folder);
  await waitUntil(async () => (await locks(swaps)) === 1, 'it waits to swap', 60_000);
  interrupted.process.kill('SIGINT');
  expect(await interrupted.ended).toEqual({
    end: 130,
    stdout: '',
    stderr: expect.stringContaining('tidemark: interrupted; the same command goes on from here\n'),
  });
  await reader.query('COMMIT');
  reader.release();
  expect(await tidemark('rebuild', 'ticket_board')).toMatchObject({
    end: 0,
    stdout: expect.stringMatching(/^rebuilt ticket_board, version 1, up to tid \d+: went on/),
  });
  await caughtUp();
});

it('what cannot be rebuilt is named', async () => {
  expect(await tidemark('rebuild', 'ticket_bord')).toEqual({
    end: 2,
    stdout: '',
    stderr:
      'tidemark: there is no projection "ticket_bord": there is entity_task_status, project_progress, task_cycle_time, ticket_board, ticket_time\n',
  });
  await owner.query(`UPDATE tidemark.projections SET version = 2 WHERE name = 'ticket_time'`);
  const newer = await tidemark('rebuild', 'ticket_time');
  expect([newer.end, newer.stderr]).toEqual([
    4,
    'tidemark: the rows of ticket_time were made by version 2 of its definition, and this program has version 1\n',
  ]);
  await owner.query(`UPDATE tidemark.projections SET version = 1 WHERE name = 'ticket_time'`);
  await owner.query('CREATE VIEW busy AS SELECT * FROM ticket_board');
  expect(await tidemark('rebuild', 'ticket_board')).toMatchObject({
    end: 4,
    stderr: expect.stringContaining('the view public.busy'),
  });
  await owner.query('DROP VIEW busy');
});

it('a plugin whose projections are none, or are called like those of another, is named', async () => {
  const plugin = (name: string, projections: string) =>
    `import { definePlugin } from 'tidemark';\nexport default definePlugin({ name: '${name}', projections: ${projections} });\n`;
  addFile(folder, 'none.mjs', plugin('none', "[{ kind: 'keyed', name: 'x' }]"));
  const none = await command(['status'], { ...env, TIDEMARK_PLUGINS: './none.mjs' }, folder);
  expect([none.end, none.stderr]).toEqual([
    2,
    expect.stringContaining('projections holds an object, which is not made by defineProjection().'),
  ]);
  addFile(
    folder,
    'twin.mjs',
    `import { defineProjection } from 'tidemark';\nimport { ticket } from 'tidemark/server';\n${plugin(
      'twin',
      "[defineProjection({ kind: 'fold', name: 'other', version: 1, tables: ['ticket_board'], sources: [ticket], apply() {} })]",
    )}`,
  );
  const twin = await command(['status'], { ...env, TIDEMARK_PLUGINS: './plugin.ts,./twin.mjs' }, folder);
  expect([twin.end, twin.stderr]).toEqual([
    2,
    expect.stringContaining('plugin ticket-board already has the table ticket_board for a projection.'),
  ]);
});
