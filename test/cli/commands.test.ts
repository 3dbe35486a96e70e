import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Database } from '#libs/database';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { command, type Ended, startCommand } from './command.ts';

let database: TestDatabase;
let owner: Database;
let folder: string;

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 3 });
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-'));
  await owner.query(`INSERT INTO wiki (name, text) VALUES ('Home', 'first'), ('a/b', 'other')`);
  await owner.query(`UPDATE wiki SET text = 'second' WHERE name = 'Home'`);
  await owner.query(`UPDATE wiki SET name = 'Start' WHERE name = 'Home'`);
});

afterAll(async () => {
  await owner.close();
  await database.drop();
  await rm(folder, { recursive: true });
});

function tidemark(...args: string[]): Promise<Ended> {
  return command(args, { DATABASE_URL: database.url }, folder);
}

async function lines(...args: string[]): Promise<Record<string, unknown>[]> {
  const { end, stdout, stderr } = await tidemark(...args);
  expect({ end, stderr }).toEqual({ end: 0, stderr: '' });
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Commands are mostly start-up: four at once. */
async function fewAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
}

test('every command answers --help', async () => {
  const commands = [
    'serve',
    'migrate',
    'import git',
    'export wiki',
    'show',
    'history',
    'tail',
    'status',
    'doctor',
    'db stop',
  ];
  const tokens = ['permissions', 'token create', 'token list', 'token revoke'];
  const users = ['list', 'add', 'grant', 'revoke', 'disable', 'enable'].map((name) => `user ${name}`);
  await fewAtOnce(['', ...commands, ...tokens, ...users], async (name) => {
    const { end, stdout, stderr } = await tidemark(...name.split(' ').filter(Boolean), '--help');
    expect({ name, end, stderr }).toEqual({ name, end: 0, stderr: '' });
    expect(stdout).toContain('--database-url');
    expect(stdout).toContain('--json');
  });
}, 60_000);

test('what is not a command, an option or a value ends with 2 and a sentence', async () => {
  const cases: [string, ...string[]][] = [
    [`unknown command 'frobnicate'`, 'frobnicate'],
    [`unknown option '--bogus'`, 'tail', '--bogus'],
    [`missing required argument 'id'`, 'show', 'wiki'],
    ['there is no resource "wiky"', 'show', 'wiky', 'Home'],
    ['0 is not a whole number above 0', 'history', 'wiki', 'Start', '--limit', '0'],
    ['there is no wiki "Nowhere"', 'show', 'wiki', 'Nowhere'],
    ['there never was a wiki "Nowhere"', 'history', 'wiki', 'Nowhere'],
    ['is in the future', 'show', 'wiki', 'Start', '--as-of', '2999-01-01T00:00:00Z'],
    ['is before the beginning', 'show', 'wiki', 'Start', '--as-of', '1999-01-01T00:00:00Z'],
    ['as_of must be a tid or a time', 'export', 'wiki', '--dir', 'x', '--as-of', 'yesterday'],
    ['the cursor is not one that this program gave out', 'tail', '--after', 'garbage'],
    ['not a PostgreSQL URL', 'status', '--database-url', 'mysql://x'],
    ['PORT is "99999"', 'serve', '--port', '99999'],
    ['there is nothing to stop', 'db', 'stop'],
  ];
  await fewAtOnce(cases, async ([sentence, ...args]) => {
    const { end, stderr } = await tidemark(...args);
    expect({ args, end, stderr }).toEqual({ args, end: 2, stderr: expect.stringContaining(sentence) });
    expect(stderr).not.toContain('    at ');
  });
}, 60_000);

test('a database that does not answer ends with 3', async () => {
  const { end, stderr } = await tidemark('status', '--database-url', 'postgres://nobody@127.0.0.1:1/x');
  expect({ end, stderr }).toEqual({ end: 3, stderr: expect.stringContaining('not reachable') });
});

test('show prints a row as of now, a tid, a time', async () => {
  const [now] = await lines('show', 'wiki', 'Start', '--json');
  expect(now).toMatchObject({ resource: 'wiki', id: '1', change: 'MODIFY', values: { name: 'Start', text: 'second' } });
  const [before] = await lines('show', 'wiki', 'Home', '--as-of', '2', '--json');
  expect(before).toMatchObject({ tid: 2, values: { name: 'Home', text: 'first' } });
  const [then] = await lines('show', 'wiki', 'Start', '--as-of', String(now?.['time']), '--json');
  expect(then).toEqual(now);
  const { stdout } = await tidemark('show', 'wiki', 'Start');
  expect(stdout).toContain('text: second');
});

test('history prints the changes of one row, newest first', async () => {
  const changes = await lines('history', 'wiki', 'Start', '--json');
  expect(changes.map(({ change }) => change)).toEqual(['MODIFY', 'MODIFY', 'CREATE']);
  expect(changes[0]).toMatchObject({ fields: { name: { old: 'Home', new: 'Start' } } });
  expect(await lines('history', 'wiki', 'Start', '--limit', '1', '--json')).toEqual(changes.slice(0, 1));
  const { stdout } = await tidemark('history', 'wiki', '1', '--limit', '1');
  expect(stdout).toMatch(/^\d+ {2}\S+Z {2}\S+ {2}MODIFY wiki 1 {2}name: "Home" → "Start"\n$/);
});

test('tail prints every change, and goes on after a cursor', async () => {
  const changes = await lines('tail', '--json');
  expect(changes.map(({ id, change }) => `${change} ${id}`)).toEqual(['CREATE 1', 'CREATE 2', 'MODIFY 1', 'MODIFY 1']);
  const cursor = String(changes[1]?.['cursor']);
  expect(await lines('tail', '--after', cursor, '--json')).toEqual(changes.slice(2));
  expect((await tidemark('tail', '--after', 'now')).stdout).toBe('');
  expect((await tidemark('tail')).stdout.trim().split('\n').length).toBe(4);
});

test('tail --follow prints what comes until it is interrupted: 130', async () => {
  const following = startCommand(['tail', '--follow', '--json'], { DATABASE_URL: database.url }, folder);
  const writing = async () => {
    await owner.query(`UPDATE wiki SET text = text || '.' WHERE name = 'a/b'`);
    return following.stdout().split('\n').length > 2;
  };
  await waitUntil(writing, 'changes are printed');
  following.process.kill('SIGINT');
  expect((await following.ended).end).toBe(130);
  const [change] = following.stdout().split('\n');
  expect(JSON.parse(String(change))).toMatchObject({ resource: 'wiki', id: '2', change: 'MODIFY' });
});

test('status names the backend that holds the tail', async () => {
  const writer = await owner.connect();
  try {
    await writer.query('BEGIN');
    await writer.query(`UPDATE wiki SET text = 'uncommitted' WHERE name = 'Start'`);
    const { rows } = await writer.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const [status] = await lines('status', '--json');
    expect(status).toMatchObject({ floor_holders: [{ pid: rows[0]?.pid, state: 'idle in transaction' }] });
    expect(status?.['safe']).toBeLessThan(status?.['head'] as number);
    expect((await tidemark('status')).stdout).toContain(`held at ${status?.['safe']} by process ${rows[0]?.pid}`);
  } finally {
    await writer.query('ROLLBACK');
    writer.release();
  }
  const [after] = await lines('status', '--json');
  expect(after).toMatchObject({ safe: after?.['head'], floor_holders: [] });
});

test('a token is made, listed and revoked', async () => {
  const [made] = await lines('token', 'create', '--user', 'joe', '--role', 'admin', '--role', 'viewer', '--json');
  expect(made).toMatchObject({ user: 'joe', roles: ['admin', 'viewer'], token: expect.stringMatching(/^tdm_/) });
  expect((await tidemark('token', 'list')).stdout).toMatch(/joe +admin,viewer +valid/);
  expect(await tidemark('token', 'revoke', String(made?.['prefix']))).toMatchObject({ end: 0 });
  const { stdout } = await tidemark('token', 'list');
  expect(stdout).toMatch(/joe +admin,viewer +revoked/);
  expect(stdout).not.toContain(String(made?.['token']));
});

test('migrate applies what is pending, and --status says what that is', async () => {
  const empty = await testDatabase({ migrated: false });
  try {
    const run = (...args: string[]) => command(['migrate', ...args], { DATABASE_URL: empty.ownerUrl }, folder);
    expect(await run('--status')).toMatchObject({ end: 1, stdout: expect.stringContaining('pending  0001_journal') });
    expect(await run()).toMatchObject({ end: 0, stdout: expect.stringContaining('applied 0001_journal') });
    expect(await run('--status')).toMatchObject({ end: 0, stdout: expect.not.stringContaining('pending') });
    expect(await run()).toMatchObject({ end: 0, stdout: expect.stringContaining('nothing to do') });
  } finally {
    await empty.drop();
  }
});
