import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { projections } from '#libs/resources';
import { addFile } from '../plugins/plugin-process.ts';
import { VOCABULARY } from '../resources/production-fixture.ts';
import { pastTriggers } from '../support/past-triggers.ts';
import { repositoryRoot } from '../support/repository-root.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { command } from './command.ts';

let test: TestDatabase;
let owner: Database;
let folder: string;

beforeAll(async () => {
  test = await testDatabase();
  folder = await mkdtemp(join(tmpdir(), 'tidemark-checks-'));
  owner = Database.open({ url: test.ownerUrl, poolSize: 2 });
  await owner.query(`INSERT INTO wiki (name, text) SELECT 'P' || n, 't' FROM generate_series(1, 3) n`);
  await owner.query(`INSERT INTO ticket (summary) VALUES ('s')`);
  await owner.query(VOCABULARY);
  await owner.query(`INSERT INTO project (name) VALUES ('Big');
    INSERT INTO shot (project_id, name) SELECT id, 'S' || n FROM project, generate_series(1, 3) n;
    INSERT INTO task (project_id, entity_type, entity_id, task_type, initial_status, status)
      SELECT project_id, 'shot', id, 'comp', 'todo', 'todo' FROM shot`);
  // no server has followed them yet
  for (const { name } of projections) await tidemark('rebuild', name);
}, 60_000);
afterAll(async () => {
  await owner.close();
  await test.drop();
  await rm(folder, { recursive: true });
});

const tidemark = (...args: string[]) => command(args, { DATABASE_URL: test.url }, folder);
const lines = (stdout: string) =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

it('verify ends with 0 and prints nothing when all is well', async () => {
  expect(await tidemark('verify')).toEqual({
    ...{ end: 0, stdout: '' },
    stderr: expect.stringMatching(/^\d+ checks of \d+ rows: no differences\n$/),
  });
});

it('verify ends with 1 and a line for each difference; repair shows what it would do, and does it', async () => {
  await pastTriggers({ owner }, `UPDATE wiki SET text = 'x' WHERE name = 'P2'`, `UPDATE ticket SET status = 'odd'`);
  const all = await tidemark('verify');
  expect(all.end).toBe(1);
  expect(lines(all.stdout).map(({ resource, field }) => `${resource} ${field}`)).toEqual([
    'ticket status',
    'wiki text',
  ]);
  expect(all.stderr).toMatch(
    /2 differences\nWhat can be done.*:\n {2}tidemark repair --resource ticket\n {2}tidemark repair --resource wiki\n$/,
  );
  const page = await tidemark('verify', '--resource', 'wiki');
  expect(page.stderr).toMatch(/: 1 difference\n/);
  const [wiki] = lines(page.stdout);
  expect([page.end, wiki]).toEqual([
    1,
    {
      ...{ finding: expect.any(Number), check_name: 'drift', resource: 'wiki', row_id: expect.any(String) },
      ...{ field: 'text', kind: 'wrong', expected: 't', actual: 'x', since_tid: expect.any(Number) },
    },
  ]);
  expect(await tidemark('repair', '--finding', String(wiki.finding))).toEqual({
    end: 1,
    stdout: expect.stringContaining(
      `planned: --accept journal writes the journal's value into the row; --accept model journals the table's value\n`,
    ),
    stderr: 'nothing was changed: --accept, --reason and --apply do it\n',
  });
  const finding = ['repair', '--finding', String(wiki.finding), '--accept', 'journal'];
  expect(await tidemark(...finding)).toEqual({
    end: 1,
    stdout: `wiki ${wiki.row_id} text: wrong, should be "t", is "x". planned: writes the journal's value into the row\n`,
    stderr: 'nothing was changed: --reason and --apply do it\n',
  });
  const done = await tidemark(...finding, '--reason', 'a slip of the hand', '--apply', '--json');
  expect([done.end, lines(done.stdout)[0].outcome, done.stderr]).toEqual([
    ...[0, 'done'],
    '1 of 1 differences are repaired\n',
  ]);
  const history = await tidemark('history', 'wiki', wiki.row_id, '--json');
  expect(lines(history.stdout).flat()[0]).toMatchObject({
    ...{ author: userInfo().username, comment: 'a slip of the hand' },
  });
  const undecided = await tidemark('repair', '--resource', 'ticket', '--reason', 'it is so', '--apply');
  expect([undecided.end, undecided.stderr]).toEqual([2, expect.stringContaining('which of them is to be believed')]);
  const status = ['repair', '--resource', 'ticket', '--accept', 'model', '--reason', 'it is so', '--apply'];
  expect((await tidemark(...status)).end).toBe(0);
  expect(await tidemark(...status)).toEqual({ end: 0, stdout: '', stderr: 'nothing is different\n' });
  expect((await tidemark('verify')).end).toBe(0);
}, 60_000);

it('what the domain has computed is compared, too, and computed anew', async () => {
  const damage = `UPDATE entity_task_status SET task_status = '{"comp": "done"}' WHERE entity_id = (SELECT max(id) FROM shot)`;
  await owner.query(damage);
  const all = await tidemark('verify');
  const [line] = lines(all.stdout);
  expect([all.end, lines(all.stdout).length, line]).toMatchObject([
    ...[1, 1],
    { check_name: 'projection', resource: 'entity_task_status', field: 'task_status', kind: 'wrong' },
  ]);
  const by = ['--projection', 'entity_task_status'];
  expect((await tidemark('verify', ...by)).stdout).toBe(all.stdout);
  const repair = ['repair', ...by, '--reason', 'a slip of the hand'];
  expect((await tidemark(...repair)).end).toBe(1);
  expect((await tidemark(...repair, '--apply')).end).toBe(0);
  expect((await tidemark('verify')).end).toBe(0);
  await owner.query(damage);
  const [again] = lines((await tidemark('verify', ...by)).stdout);
  const finding = ['repair', '--finding', String(again.finding), '--reason', 'once more', '--apply'];
  expect((await tidemark(...finding)).end).toBe(0);
  expect((await tidemark('verify')).end).toBe(0);
}, 60_000);

it('a check of a plugin runs under its full name, and mends what it has found', async () => {
  const tidemarkIndex = join(repositoryRoot(), 'dist/libs/tidemark/index.js');
  addFile(
    folder,
    'plugin.mjs',
    `import { definePlugin } from ${JSON.stringify(tidemarkIndex)};
     class Greeting {
       name = 'greeting'; resource = 'wiki'; wanted = 'hello';
       async find(db, look) {
         const { rows } = await db.query("SELECT id::text, text FROM wiki WHERE name = 'Greeting' AND text <> $1", [this.wanted]);
         const found = rows.map(({ id, text }) => ({ id, field: 'text', kind: 'rude', expected: this.wanted, actual: text, since: null }));
         return { found, rows: 1, next: null };
       }
       async repair(writer, actor, found) {
         for (const { id } of found) await writer.transaction(actor, (tx) => tx.save({ name: 'wiki', table: 'wiki', key: ['id'], versioned: true }, id, { text: this.wanted }));
       }
     }
     export default definePlugin({ name: 'polite', checks: [new Greeting()] });`,
  );
  await owner.query(`INSERT INTO wiki (name, text) VALUES ('Greeting', 'oi')`);
  const verify = ['verify', '--plugins', './plugin.mjs', '--resource', 'wiki'];
  const { end, stdout } = await tidemark(...verify);
  const [line] = lines(stdout);
  expect([end, line.check_name, line.kind, line.actual]).toEqual([1, 'polite.greeting', 'rude', 'oi']);
  const without = await tidemark('repair', '--finding', String(line.finding));
  expect([without.end, without.stderr]).toEqual([4, expect.stringContaining('polite.greeting of wiki, which this')]);
  const repair = ['repair', '--plugins', './plugin.mjs', '--finding', String(line.finding), '--reason', 'manners'];
  expect((await tidemark(...repair, '--apply')).end).toBe(0);
  expect((await tidemark(...verify)).end).toBe(0);
}, 60_000);

it.each([
  [['repair'], 'say one of --finding, --resource and --projection'],
  [['repair', '--finding', '1', '--resource', 'wiki'], 'say one of --finding, --resource and --projection'],
  [['repair', '--projection', 'p', '--id', '1'], '--id needs --resource'],
  [['repair', '--resource', 'wiki', '--accept', 'both'], "argument 'both' is invalid"],
  [['repair', '--resource', 'wiki', '--apply'], 'a repair needs a reason: --reason TEXT'],
  [['repair', '--finding', '4711'], 'there is no finding 4711'],
  [['verify', '--resource', 'wkii'], 'there is no resource "wkii": there is '],
  [['verify', '--projection', 'p'], 'there is no projection "p": there is '],
])('%j is refused', async (args, message) => {
  const { end, stdout, stderr } = await tidemark(...args);
  expect([end, stdout, stderr]).toEqual([2, '', expect.stringContaining(message)]);
});
