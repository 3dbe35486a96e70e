import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { docBlocks } from '../support/doc-block.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { copyProgram, type ProgramCopy } from './program-copy.ts';

const TOKEN = 'a-token-for-the-upgrade';

/** The example of docs/upgrade.md: a column that the old version does not know. */
const [migration = ''] = docBlocks('docs/upgrade.md', 'sql');

let database: TestDatabase;
let owner: Database;
let older: ProgramCopy;
let newer: ProgramCopy;
const running: { kill(): Promise<unknown> }[] = [];

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 2 });
  older = copyProgram();
  newer = copyProgram();
  newer.addMigration('9001_wiki_note.sql', migration);
});

afterAll(async () => {
  await Promise.all(running.map((each) => each.kill()));
  older?.remove();
  newer?.remove();
  await owner.close();
  await database.drop();
});

const env = () => ({
  ...{ DATABASE_URL: database.url, DATABASE_OWNER_URL: database.ownerUrl, TIDEMARK_ADMIN_TOKEN: TOKEN },
});

async function serve(program: ProgramCopy): Promise<{ url: string; stop(): Promise<unknown> }> {
  const { started, url } = await program.serve(env());
  running.push({
    kill: () => {
      started.process.kill('SIGKILL');
      return started.ended;
    },
  });
  return {
    url,
    stop: () => {
      started.process.kill('SIGTERM');
      return started.ended.then(({ end, stderr }) => ({ end, stderr }));
    },
  };
}

const put = (url: string, page: string, text: string) =>
  fetch(`${url}/wiki/${page}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ text }),
  });

/** Changes pages at a server until it is told to stop; returns the statuses. */
function writeOn(url: string): { statuses: number[]; stop(): Promise<void> } {
  const statuses: number[] = [];
  let stopped = false;
  const lanes = [1, 2, 3].map(async (lane) => {
    for (let n = 0; !stopped; n++) statuses.push((await put(url, `Lane${lane}-${n % 5}`, `${lane} ${n}`)).status);
  });
  return {
    statuses,
    async stop() {
      stopped = true;
      await Promise.all(lanes);
    },
  };
}

it('an old version goes on while a new one migrates and works beside it, and none of its changes is lost', async () => {
  const old = await serve(older);
  const writing = writeOn(old.url);
  await waitUntil(() => writing.statuses.length > 50, 'the old one writes');
  const fresh = await serve(newer);
  const before = writing.statuses.length;
  await waitUntil(() => writing.statuses.length > before + 50, 'the old one goes on');
  expect((await put(fresh.url, 'Shared', 'of the new one')).status).toBe(201);
  expect((await put(old.url, 'Shared', 'of the old one')).status).toBe(200);
  await writing.stop();
  expect(writing.statuses.filter((status) => status >= 300)).toEqual([]);
  // what the old one does not know is journaled all the same
  await owner.query(`UPDATE wiki SET note = 'seen' WHERE name = 'Shared'`);
  const journal = await fetch(`${old.url}/wiki/Shared/history`, { headers: { authorization: `Bearer ${TOKEN}` } });
  const { items } = (await journal.json()) as { items: { fields: object }[] };
  expect(items[0]?.fields).toEqual({ note: { old: null, new: 'seen' } });
  expect((await owner.query(`SELECT * FROM tidemark.drift('wiki')`)).rows).toEqual([]);
  expect((await owner.query('SELECT * FROM tidemark.table_problems()')).rows).toEqual([]);
  expect(await old.stop()).toEqual({ end: 0, stderr: '' });
  await fresh.stop();
}, 120_000);

it('an old version that is started anew refuses, and changes nothing', async () => {
  for (const args of [['serve', '--port', '0'], ['migrate'], ['migrate', '--status'], ['status']]) {
    const { end, stderr } = await older.run(args, env()).ended;
    expect([args, end]).toEqual([args, 2]);
    expect(stderr).toMatch(/the database is newer than this program: it holds the migration 9001_wiki_note/);
  }
}, 60_000);

it('rolled back: the old version starts again when it is given the migrations that the database holds', async () => {
  older.addMigration('9001_wiki_note.sql', migration);
  const old = await serve(older);
  expect((await put(old.url, 'Rolled', 'back')).status).toBe(201);
  expect(await old.stop()).toMatchObject({ end: 0 });
}, 60_000);

it('a migration that fails leaves the database as it was, and the version that runs at work', async () => {
  const old = await serve(newer);
  const broken = copyProgram();
  broken.addMigration('9001_wiki_note.sql', migration);
  broken.addMigration('9002_half.sql', 'ALTER TABLE wiki ADD COLUMN half int;');
  broken.addMigration('9003_broken.sql', 'SELECT 1 / 0;');
  const { end, stderr } = await broken.run(['serve', '--port', '0'], env()).ended;
  broken.remove();
  expect({ end, stderr }).toEqual({ end: 2, stderr: 'tidemark: migration 9003_broken failed: division by zero\n' });
  const { rows } = await owner.query(`SELECT FROM pg_attribute WHERE attrelid = 'wiki'::regclass AND attname = 'half'`);
  expect(rows).toEqual([]);
  expect((await put(old.url, 'Still', 'here')).status).toBe(201);
  const { end: restarted } = await newer.run(['migrate', '--status'], env()).ended;
  expect(restarted).toBe(0);
  await old.stop();
}, 60_000);
