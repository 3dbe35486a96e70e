import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { command } from '../cli/command.ts';
import { testServer } from '../server/server-fixture.ts';
import { docBlocks } from '../support/doc-block.ts';
import { type TestDatabase, testDatabase, urlOn } from '../support/test-database.ts';

let database: TestDatabase;
let owner: Database;
let folder: string;

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 2 });
  folder = mkdtempSync(join(tmpdir(), 'tidemark-backup-'));
});

afterAll(async () => {
  await owner.query(`DROP DATABASE IF EXISTS ${database.name}_restored WITH (FORCE)`);
  await owner.close();
  await database.drop();
  rmSync(folder, { recursive: true });
});

/** Why the commands of docs/backup.md cannot be run; undefined when they can. */
async function whyNot(): Promise<string | undefined> {
  const { stdout, status } = spawnSync('pg_restore', ['--version'], { encoding: 'utf8' });
  if (status !== 0) return 'there is no pg_restore';
  const { rows } = await owner.query<{ major: number }>(
    `SELECT current_setting('server_version_num')::int / 10000 AS major`,
  );
  const [, major] = /(\d+)/.exec(stdout) ?? [];
  if (Number(major) < (rows[0]?.major as number)) return `pg_dump ${major} is older than the server ${rows[0]?.major}`;
  return undefined;
}

async function writeOn(url: string, page: string): Promise<string> {
  const server = await testServer(url);
  expect((await server.put(page, 'text')).status).toBeLessThan(300);
  const { cursor } = await (await server.ask('/journal?limit=500')).json();
  await server.close();
  return cursor;
}

async function follow(url: string, cursor: string): Promise<number> {
  const server = await testServer(url);
  const { status } = await server.ask(`/journal?after=${cursor}`);
  await server.close();
  return status;
}

it('a dump that is taken and restored as docs/backup.md says is whole, and knows that it is a copy', async () => {
  const missing = await whyNot();
  if (missing !== undefined) {
    process.stdout.write(`The test of dump and restore is skipped: ${missing}\n`);
    return;
  }
  const cursor = await writeOn(database.url, 'Before');
  const name = `${database.name}_restored`;
  const [url, ownerUrl] = [urlOn(database.url, name), urlOn(database.ownerUrl, name)];
  const env = { ...process.env, DATABASE_OWNER_URL: database.ownerUrl, RESTORED_OWNER_URL: ownerUrl };
  for (const block of docBlocks('docs/backup.md', 'sh')) {
    const script = `set -e\n${block.replaceAll('tidemark_restored', name)}`;
    const { stderr } = await promisify(execFile)('/bin/sh', ['-c', script], { cwd: folder, env });
    expect(stderr).toBe('');
    // written while the dump is there and the restored database is not
    await writeOn(database.url, 'Between');
  }
  const urls = { DATABASE_URL: url, DATABASE_OWNER_URL: ownerUrl };
  expect(await command(['doctor'], urls, folder)).toMatchObject({
    end: 0,
    stdout: expect.stringContaining('nothing found'),
  });
  await writeOn(url, 'After');
  const restored = Database.open({ url: ownerUrl, poolSize: 1 });
  expect((await restored.query(`SELECT * FROM tidemark.drift('wiki')`)).rows).toEqual([]);
  const { rows } = await restored.query(`SELECT name FROM wiki ORDER BY name`);
  await restored.close();
  expect(rows).toEqual([{ name: 'After' }, { name: 'Before' }]);

  expect([await follow(url, cursor), await follow(database.url, cursor)]).toEqual([400, 200]);
  expect(await command(['epoch', 'keep'], urls, folder)).toMatchObject({ end: 0 });
  expect(await follow(url, cursor)).toBe(200);
  expect(await command(['epoch', 'renew'], urls, folder)).toMatchObject({ end: 0 });
  expect(await follow(url, cursor)).toBe(400);
}, 60_000);
