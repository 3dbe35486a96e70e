import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Database } from '#libs/database';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { command, type Ended } from './command.ts';
import { git } from './git-history.ts';

let database: TestDatabase;
let owner: Database;
let folder: string;
let repository: string;

beforeEach(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 2 });
  folder = await mkdtemp(join(tmpdir(), 'tidemark-import-'));
  repository = join(folder, 'repository');
  await mkdir(repository);
  git(repository, ['init', '-q', '-b', 'main']);
});

afterEach(async () => {
  await owner.close();
  await database.drop();
  await rm(folder, { recursive: true });
});

function importing(...args: string[]): Promise<Ended> {
  return command(
    ['import', 'git', repository, ...args],
    { DATABASE_URL: database.url, DATABASE_OWNER_URL: database.ownerUrl },
    folder,
  );
}

async function write(files: Record<string, string | Buffer | null>): Promise<void> {
  for (const [name, contents] of Object.entries(files)) {
    const file = join(repository, name);
    await mkdir(dirname(file), { recursive: true });
    if (contents === null) await unlink(file);
    else await writeFile(file, contents);
  }
}

async function commit(files: Record<string, string | Buffer | null>, subject = 'a change'): Promise<void> {
  await write(files);
  git(repository, ['add', '-A']);
  const identity = ['-c', 'user.name=joe', '-c', 'user.email=joe@example.org', '-c', 'commit.gpgsign=false'];
  git(repository, [...identity, 'commit', '-q', '--allow-empty', '--allow-empty-message', '-m', subject]);
}

async function pages(): Promise<Record<string, string>> {
  const { rows } = await owner.query<{ name: string; contents: string }>(
    `SELECT name, coalesce(text, bytes::text) AS contents FROM wiki ORDER BY name`,
  );
  return Object.fromEntries(rows.map(({ name, contents }) => [name, contents]));
}

test('--path takes what is below a folder, under its name there', async () => {
  await commit({ 'docs/a.md': 'a', 'docs/deep/b.md': 'b', 'docs2/c.md': 'c', 'other.md': 'd' });
  await commit({ 'docs/a.md': null, 'other.md': 'changed' });
  await commit({ 'docs/from-outside.md': 'd' });
  expect(await importing('--path', './docs/')).toMatchObject({ end: 0 });
  expect(await pages()).toEqual({ 'deep/b.md': 'b', 'from-outside.md': 'd' });
  expect(await importing('--path', 'docs')).toMatchObject({ end: 0, stdout: expect.stringContaining('nothing to do') });
});

test('--rev ends at a commit, and a later import goes on from there', async () => {
  await commit({ a: '1' });
  await commit({ a: '2' });
  await commit({ a: '3' });
  expect(await importing('--rev', 'main~1')).toMatchObject({ end: 0 });
  expect(await pages()).toEqual({ a: '2' });
  expect(await importing()).toMatchObject({ end: 0 });
  expect(await pages()).toEqual({ a: '3' });
  expect(await importing('--rev', 'main~2')).toMatchObject({
    end: 0,
    stdout: expect.stringContaining('nothing to do'),
  });
  expect(await pages()).toEqual({ a: '3' });
});

test('symbolic links and names that no page can have are reported and skipped', async () => {
  await commit({ page: 'text', target: 'x' });
  await unlink(join(repository, 'page'));
  await symlink('target', join(repository, 'page'));
  await commit({ [`${'x'.repeat(250)}/${'y'.repeat(250)}`]: 'too long' });
  const { end, stderr, stdout } = await importing('--json');
  expect(end).toBe(0);
  expect(stderr).toMatch(/skipped "page" in [0-9a-f]{12}: it is a symbolic link/);
  expect(stderr).toMatch(/skipped "x+\/y+" in [0-9a-f]{12}: a page name must not exceed 500 characters/);
  expect(JSON.parse(stdout)).toMatchObject({ skipped: 2, created: 2, deleted: 1 });
  expect(await pages()).toEqual({ target: 'x' });
});

test('contents that are not UTF-8 or hold NUL are kept as bytes', async () => {
  await commit({ latin: Buffer.from('caf\xe9', 'latin1'), nul: 'a\0b', text: 'café', empty: '' });
  expect(await importing()).toMatchObject({ end: 0 });
  expect(await pages()).toEqual({ latin: '\\x636166e9', nul: '\\x610062', text: 'café', empty: '' });
});

test('a large page is imported byte for byte, and changed, renamed and deleted like any other', async () => {
  const text = Buffer.from('日本語テキスト'.repeat(450_000));
  const spoilt = Buffer.concat([text, Buffer.from([0xff])]);
  const contents = async () =>
    (
      await owner.query(
        `SELECT name, text IS NOT NULL AS is_text, md5(coalesce(convert_to(text, 'UTF8'), bytes)) AS md5 FROM wiki ORDER BY name`,
      )
    ).rows;
  const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex');
  await commit({ text, spoilt, cut: text.subarray(0, -1), nul: Buffer.concat([text, Buffer.alloc(1)]) });
  expect(await importing()).toMatchObject({ end: 0 });
  expect(await contents()).toEqual([
    { name: 'cut', is_text: false, md5: md5(text.subarray(0, -1)) },
    { name: 'nul', is_text: false, md5: md5(Buffer.concat([text, Buffer.alloc(1)])) },
    { name: 'spoilt', is_text: false, md5: md5(spoilt) },
    { name: 'text', is_text: true, md5: md5(text) },
  ]);
  await commit({ text: null, renamed: Buffer.concat([text, Buffer.from('.')]), spoilt: text, cut: null, nul: 'small' });
  expect(await importing()).toMatchObject({
    end: 0,
    stdout: expect.stringContaining('2 modified, 1 renamed, 1 deleted'),
  });
  expect(await contents()).toEqual([
    { name: 'nul', is_text: true, md5: md5(Buffer.from('small')) },
    { name: 'renamed', is_text: true, md5: md5(Buffer.concat([text, Buffer.from('.')])) },
    { name: 'spoilt', is_text: true, md5: md5(text) },
  ]);
}, 120_000);

test('a renamed page keeps its id, also when many are renamed in one commit', async () => {
  const names = Array.from({ length: 150 }, (_, n) => `page ${n}`);
  const text = (name: string) => `the text of ${name}, long enough to be recognised\n`.repeat(20);
  await commit(Object.fromEntries(names.map((name) => [name, text(name)])));
  expect(await importing()).toMatchObject({ end: 0 });
  const ids = async () =>
    (await owner.query<{ id: string }>('SELECT id FROM wiki ORDER BY id')).rows.map((row) => row.id);
  const before = await ids();
  await commit(
    Object.fromEntries(
      names.flatMap((name) => [
        [name, null],
        [`moved/${name}`, text(name)],
      ]),
    ),
  );
  const { end, stdout } = await importing('--json');
  expect(end).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ renamed: 150, created: 0, deleted: 0 });
  expect(await ids()).toEqual(before);
});

test('pages that other hands have changed are brought to what the repository has', async () => {
  await commit({ kept: 'k', renamed: 'a text that is long enough', deleted: 'd' });
  expect(await importing()).toMatchObject({ end: 0 });
  await owner.query(`UPDATE wiki SET name = 'elsewhere' WHERE name = 'renamed'`);
  await owner.query(`DELETE FROM wiki WHERE name = 'deleted'`);
  await owner.query(`INSERT INTO wiki (name, text) VALUES ('new', 'in the way')`);
  await commit({
    renamed: null,
    'renamed again': 'a text that is long enough',
    deleted: null,
    new: 'from the repository',
  });
  expect(await importing()).toMatchObject({ end: 0 });
  expect(await pages()).toEqual({
    elsewhere: 'a text that is long enough',
    kept: 'k',
    new: 'from the repository',
    'renamed again': 'a text that is long enough',
  });
});

test('commits that change no page are passed over', async () => {
  await commit({});
  await commit({ a: '1' });
  await commit({});
  expect(await importing('--json')).toMatchObject({ end: 0, stdout: expect.stringContaining('"commits":3') });
  expect(await importing()).toMatchObject({ stdout: expect.stringContaining('nothing to do') });
});

test('what is no repository is refused with a sentence', async () => {
  const refused = async (sentence: string, ...args: string[]) => {
    const env = { DATABASE_URL: database.url, DATABASE_OWNER_URL: database.ownerUrl };
    const { end, stderr } = await command(['import', 'git', ...args], env, folder);
    expect({ end, stderr }).toEqual({ end: 2, stderr: expect.stringContaining(sentence) });
    expect(stderr).not.toContain('    at ');
  };
  await refused('has no commits yet', repository);
  await commit({ 'folder/a': 'a' });
  await commit({ 'folder/a': 'b' });
  await refused('does not exist', join(folder, 'nowhere'));
  await refused('is not a git repository', folder);
  await refused('--path folder/', join(repository, 'folder'));
  await refused('has no revision nowhere', repository, '--rev', 'nowhere');
  await refused('has no revision --all', repository, '--rev=--all');
  await refused('has changed anything in nowhere', repository, '--path', 'nowhere');
  await refused('leads out of the repository', repository, '--path', '../x');
  await writeFile(join(folder, 'file'), 'text');
  await refused('is not a git repository', join(folder, 'file'));
  execFileSync('git', ['-C', repository, 'bundle', 'create', '-q', join(folder, 'bundle'), 'main']);
  await refused('clone it first', join(folder, 'bundle'));
  execFileSync('git', ['clone', '-q', '--depth=1', `file://${repository}`, join(folder, 'shallow')]);
  await refused('is a shallow clone', join(folder, 'shallow'));
  expect(await pages()).toEqual({});
});
