import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { type Boxes, boxes } from '../projection/boxes.ts';
import { pastTriggers } from '../support/past-triggers.ts';
import { repositoryRoot } from '../support/repository-root.ts';
import { waitUntil } from '../support/wait-until.ts';
import { found } from './damage.ts';

const PATIENCE = 60_000;
const ROWS = 6_000;

let all: Boxes;
const children: ChildProcess[] = [];
beforeEach(async () => {
  all = await boxes();
});
afterEach(async () => {
  for (const child of children.splice(0)) await kill(child);
  await all.close();
});

async function start(rowsPerSecond: number): Promise<ChildProcess> {
  const options = JSON.stringify({ url: all.test.url, rowsPerSecond });
  const child = fork(join(repositoryRoot(), 'dist/test/integrity/check-process.js'), [options], { stdio: 'ignore' });
  children.push(child);
  await once(child, 'message');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

interface Position {
  readonly check_name: string;
  readonly rows: number;
  readonly done: boolean;
}

async function positions(run: 'full' | 'sample', resource = 'item'): Promise<Position[]> {
  const { rows } = await all.app.query<Position>(
    'SELECT check_name, rows, done FROM tidemark.check_positions WHERE run = $1 AND resource = $2 ORDER BY check_name',
    [run, resource],
  );
  return rows;
}

const finished = async () => {
  const { rows } = await all.app.query<{ over: boolean }>(
    'SELECT full_finished IS NOT NULL AS over FROM tidemark.check_schedule',
  );
  return rows[0]?.over === true;
};
const open = async () =>
  (await all.app.query<{ row_id: string }>(`SELECT row_id FROM tidemark.finding WHERE state = 'open' ORDER BY id`))
    .rows;

it('goes on where it was when processes are killed, in whichever is left, and looks at each row once', async () => {
  await all.owner.query(`INSERT INTO item SELECT n, 1, n FROM generate_series(1, ${ROWS}) n`);
  await pastTriggers(all, 'UPDATE item SET n = -1 WHERE id IN (7, 5990)');
  const rowsOf = async () => (await positions('full')).find(({ check_name }) => check_name === 'drift')?.rows ?? 0;
  let before = 0;
  for (const upto of [1, 1_000, 2_000]) {
    const two = [await start(2_000), await start(2_000)];
    await waitUntil(async () => (await rowsOf()) >= Math.max(upto, before + 1), 'more rows were looked at', PATIENCE);
    await Promise.all(two.map(kill));
    const now = await rowsOf();
    expect(now).toBeGreaterThan(before);
    before = now;
  }
  await Promise.all([start(1_000_000), start(1_000_000)]);
  await waitUntil(finished, 'everything was looked at once', PATIENCE);
  // the table, then its journal; and both sides of the journal: an entry of each row and its three values
  expect(await positions('full')).toEqual([
    { check_name: 'drift', rows: 2 * ROWS, done: true },
    { check_name: 'journal', rows: 4 * ROWS, done: true },
  ]);
  expect(await open()).toEqual([{ row_id: '7' }, { row_id: '5990' }]);
}, 200_000);

it('finds by itself what is damaged later, tells of it once, and that it is mended', async () => {
  await all.owner.query(`INSERT INTO item SELECT n, 1, n FROM generate_series(1, 20) n`);
  await start(100_000);
  await waitUntil(finished, 'the first run over everything', PATIENCE);
  await pastTriggers(all, 'UPDATE item SET n = -1 WHERE id = 7');
  await waitUntil(async () => (await open()).length === 1, 'the damage is found', PATIENCE);
  const seen = async () => {
    const { rows } = await all.app.query<{ at: string }>('SELECT last_seen::text AS at FROM tidemark.finding_seen');
    return rows[0]?.at;
  };
  const first = await seen();
  await waitUntil(async () => (await seen()) !== first, 'it is seen again', PATIENCE);
  await pastTriggers(all, 'UPDATE item SET n = 7 WHERE id = 7');
  await waitUntil(async () => (await open()).length === 0, 'it is found to be gone', PATIENCE);
  const { rows } = await all.app.query(
    `SELECT j.change, j.author, h.value AS state FROM tidemark.journal j
       JOIN tidemark.history h ON h.resource = j.resource AND h.tid = j.tid AND h.id = j.id AND h.field = 'state'
       WHERE j.resource = 'finding' ORDER BY j.tid`,
  );
  expect(rows).toEqual([
    { change: 'CREATE', author: 'tidemark', state: 'open' },
    { change: 'MODIFY', author: 'tidemark', state: 'resolved' },
  ]);
  await pastTriggers(all, 'UPDATE item SET n = -1 WHERE id = 7');
  await waitUntil(async () => (await open()).length === 1, 'the same is found again', PATIENCE);
  expect((await all.app.query('SELECT FROM tidemark.finding')).rows).toHaveLength(1);
}, 120_000);

it('a check that fails holds up no other, and says of what', async () => {
  await all.owner.query('INSERT INTO item VALUES (1, 1, 1)');
  const broken = { name: 'broken', resource: 'item', find: async () => Promise.reject(new Error('no such luck')) };
  const kernel = all.kernel([], { checks: [broken], checkRowsPerSecond: 100_000 });
  await pastTriggers(all, 'UPDATE item SET n = -1');
  await kernel.start();
  await waitUntil(finished, 'the run over everything ends', PATIENCE);
  await kernel.stop();
  const { rows } = await all.app.query(
    `SELECT DISTINCT error FROM tidemark.check_positions WHERE check_name = 'broken'`,
  );
  expect(rows).toEqual([{ error: 'no such luck' }]);
  expect(await open()).toEqual([{ row_id: '1' }]);
  expect(all.log.lines.filter(({ level }) => level === 'error').map(({ message }) => message)).toEqual([
    'a check has failed',
  ]);
  expect(kernel.integrity.status().find(({ check }) => check === 'broken')).toMatchObject({ looks: 0, rows: 0 });
  await expect(found(all.kernel([], { checks: [broken] }))).rejects.toThrow('no such luck');
});

it('does nothing where it is switched off', async () => {
  const kernel = all.kernel();
  await kernel.start();
  await kernel.stop();
  expect(kernel.integrity.status().filter(({ looks }) => looks > 0)).toEqual([]);
  expect(await finished()).toBe(false);
});
