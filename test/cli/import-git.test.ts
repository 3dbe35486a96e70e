import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Database } from '#libs/database';
import { exportPages } from '../../apps/cli/export-pages.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { command, type Ended, startCommand } from './command.ts';
import { git, HistoryWriter, pagesAt } from './git-history.ts';
import { Random } from './random.ts';

const long = process.env['TIDEMARK_TEST_LONG'] === '1';
const SEED = long ? Date.now() % 1_000_000 : 7;
const COMMITS = long ? 500 : 160;

let database: TestDatabase;
let owner: Database;
let folder: string;
let repository: string;
let history: HistoryWriter;
const blobs = new Map<string, Buffer>();

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 3 });
  folder = await mkdtemp(join(tmpdir(), 'tidemark-import-'));
  repository = join(folder, 'repository');
  await mkdir(repository);
  history = new HistoryWriter(repository, new Random(SEED));
  history.add(COMMITS);
});

afterAll(async () => {
  await owner.close();
  await database.drop();
  await rm(folder, { recursive: true });
});

function environment(): Record<string, string> {
  return { DATABASE_URL: database.url, DATABASE_OWNER_URL: database.ownerUrl };
}

function importing(...more: string[]): Promise<Ended> {
  return command(['import', 'git', repository, ...more], environment(), folder);
}

async function imported(): Promise<number> {
  const { rows } = await owner.query<{ count: number }>('SELECT count(*) FROM tidemark.imports');
  return rows[0]?.count ?? 0;
}

/** The last tid of each commit that has changed pages. */
async function commits(): Promise<{ commit: string; tid: number }[]> {
  const { rows } = await owner.query<{ commit: string; tid: number }>(
    `SELECT meta->>'commit' AS commit, max(tid) AS tid FROM tidemark.journal WHERE meta ? 'commit' GROUP BY 1 ORDER BY 2`,
  );
  return rows;
}

/** Lets an import stop in the middle of its n-th commit, kills it there, and lets the database go on. */
async function killAt(position: number): Promise<void> {
  const gate = await owner.connect();
  await gate.query('SELECT pg_advisory_lock(11, 12)');
  await owner.query(
    `CREATE OR REPLACE FUNCTION hold_import() RETURNS trigger LANGUAGE plpgsql AS
       $$BEGIN IF NEW.position = ${position} THEN PERFORM pg_advisory_xact_lock(11, 12); END IF; RETURN NEW; END$$`,
  );
  await owner.query(
    'CREATE OR REPLACE TRIGGER hold BEFORE INSERT ON tidemark.imports FOR EACH ROW EXECUTE FUNCTION hold_import()',
  );
  const running = startCommand(['import', 'git', repository], environment(), folder);
  const held = `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 11 AND objid = 12 AND NOT granted`;
  await waitUntil(async () => (await owner.query(held)).rows.length > 0, `the import is at commit ${position}`, 60_000);
  running.process.kill('SIGKILL');
  expect((await running.ended).end).toBe('SIGKILL');
  await gate.query('SELECT pg_advisory_unlock(11, 12)');
  gate.release();
}

async function exported(tid: number): Promise<Map<string, Buffer>> {
  const target = await mkdtemp(join(folder, 'export-'));
  const { refused } = await exportPages(owner, tid, target);
  expect(refused).toEqual([]);
  return filesBelow(target);
}

async function filesBelow(target: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const entry of await readdir(target, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    files.set(file.slice(target.length + 1), await readFile(file));
  }
  await rm(target, { recursive: true });
  return files;
}

function expectSame(found: Map<string, Buffer>, wanted: Map<string, Buffer>, what: string): void {
  expect({ what, names: [...found.keys()].sort() }).toEqual({ what, names: [...wanted.keys()].sort() });
  const different = [...wanted].filter(([name, bytes]) => !bytes.equals(found.get(name) as Buffer));
  expect({ what, different: different.map(([name]) => name) }).toEqual({ what, different: [] });
}

describe(`a history of ${COMMITS} random commits (seed ${SEED})`, () => {
  test('is imported whole although the import is killed twice on the way', async () => {
    await killAt(60);
    await killAt(100);
    const { end, stderr } = await importing();
    expect({ end, stderr }).toEqual({ end: 0, stderr: expect.stringContaining('commits to import, after') });
    await owner.query('DROP TRIGGER hold ON tidemark.imports');
    const { rows } = await owner.query('SELECT commit FROM tidemark.imports GROUP BY commit HAVING count(*) > 1');
    expect(rows).toEqual([]);
  });

  test('is the same as in git at every one of its commits', async () => {
    const all = await commits();
    expect(all.length).toBeGreaterThan(COMMITS / 2);
    for (const { commit, tid } of all) expectSame(await exported(tid), pagesAt(repository, commit, blobs), commit);
  }, 600_000);

  test('is journaled with author, subject, times and commit', async () => {
    const { rows } = await owner.query<Record<string, unknown>>(
      `SELECT DISTINCT meta->>'commit' AS commit, author, comment, extract(epoch FROM time)::bigint AS time, meta->>'author_time' AS author_time,
         meta->>'effects' AS effects FROM tidemark.journal WHERE meta ? 'commit'`,
    );
    expect(rows.length).toBe((await commits()).length);
    for (const row of rows) {
      const [author, mail, authorTime, time, subject] = git(repository, [
        'show',
        '-s',
        '--format=%an%x00%ae%x00%aI%x00%ct%x00%s',
        String(row['commit']),
      ])
        .replace(/\n$/, '')
        .split('\0');
      expect(row).toEqual({
        commit: row['commit'],
        author: author || mail,
        comment: subject,
        time: Number(time),
        author_time: authorTime,
        effects: 'false',
      });
    }
  });

  test('keeps the id of a page that git sees renamed', async () => {
    const { rows } = await owner.query<{ commit: string; was: string; name: string }>(
      `SELECT j.meta->>'commit' AS commit, n.value #>> '{}' AS name,
           (SELECT b.value #>> '{}' FROM tidemark.history b WHERE b.resource = 'wiki' AND b.field = 'name' AND b.id = n.id AND b.tid < n.tid
              ORDER BY b.tid DESC LIMIT 1) AS was
         FROM tidemark.history n JOIN tidemark.journal j USING (resource, tid, id)
         WHERE n.resource = 'wiki' AND n.field = 'name' AND j.change = 'MODIFY'`,
    );
    expect(rows.length).toBeGreaterThan(5);
    for (const { commit, was, name } of rows) {
      const raw = git(repository, ['show', '--first-parent', '--raw', '-M90%', '-z', '--format=', commit]);
      expect(raw).toContain(`\0${was}\0${name}\0`);
    }
  });

  test('leaves model table and journal the same', async () => {
    expect((await owner.query(`SELECT * FROM tidemark.drift('wiki')`)).rows).toEqual([]);
  });

  test('is not imported again', async () => {
    const before = await imported();
    const { end, stdout } = await importing();
    expect({ end, stdout }).toEqual({ end: 0, stdout: expect.stringContaining('nothing to do') });
    expect(await imported()).toBe(before);
  });

  test('is continued when it has grown', async () => {
    history.add(30);
    const { end, stdout } = await importing('--json');
    expect(end).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ commits: 30, commit: git(repository, ['rev-parse', 'main']).trim() });
    const last = (await commits()).at(-1) as { commit: string; tid: number };
    expectSame(await exported(last.tid), pagesAt(repository, last.commit, blobs), last.commit);
  });

  test('is exported by the command as of a tid, into an empty folder only', async () => {
    const { commit, tid } = (await commits())[50] as { commit: string; tid: number };
    const target = join(folder, 'by-command');
    const args = ['export', 'wiki', '--dir', target, '--as-of', String(tid)];
    expect(await command(args, environment(), folder)).toMatchObject({ end: 0 });
    expect(await command(args, environment(), folder)).toMatchObject({
      end: 4,
      stderr: expect.stringContaining('is not empty'),
    });
    expectSame(await filesBelow(target), pagesAt(repository, commit, blobs), commit);
  });

  test('is not imported by two at once', async () => {
    const root = git(repository, ['rev-list', '--first-parent', '--max-parents=0', 'main']).trim();
    const other = await owner.connect();
    await other.query(`SELECT pg_advisory_lock(29797, hashtext($1 || ' '))`, [root]);
    try {
      const { end, stderr } = await importing();
      expect({ end, stderr }).toEqual({
        end: 4,
        stderr: expect.stringContaining('is being imported by another process'),
      });
    } finally {
      other.release(new Error('the lock goes with the connection'));
    }
  });

  test('is refused when it was rewritten', async () => {
    history.rewrite();
    const before = await imported();
    const { end, stderr } = await importing();
    expect({ end, stderr }).toEqual({
      end: 4,
      stderr: expect.stringContaining('it was rewritten, or this is another branch'),
    });
    expect(await imported()).toBe(before);
  });
});
