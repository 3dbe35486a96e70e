import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compareRebuilt } from '#libs/projection';
import { projections, recordKinds } from '#libs/resources';
import { repositoryRoot } from '../support/repository-root.ts';
import { type ProductionFixture, productionFixture } from './production-fixture.ts';
import type { News, Order, Step, Things } from './production-process.ts';

// Two processes change the same tasks and others at once, a third follows the projections with them.

const RUNS = process.env['TIDEMARK_TEST_LONG'] === '1' ? 200 : 8;
const SEED = Number(process.env['TIDEMARK_TEST_SEED'] ?? 5);
const TASKS = 6;

let p: ProductionFixture;
let processes: ChildProcess[];
let made = 0;

beforeAll(async () => {
  p = await productionFixture();
  processes = [1, 2].map(() =>
    fork(join(repositoryRoot(), 'dist/test/resources/production-process.js'), [p.test.url], { stdio: 'inherit' }),
  );
  await Promise.all(processes.map(next));
}, 120_000);

afterAll(async () => {
  for (const child of processes ?? []) {
    const ended = once(child, 'exit');
    child.disconnect();
    await ended;
  }
  await p?.close();
}, 60_000);

async function next(child: ChildProcess): Promise<News> {
  const [news] = (await once(child, 'message')) as [News];
  return news;
}

/** Three shots in two sequences of a project of their own, with two tasks each. */
async function things(): Promise<Things> {
  made += 1;
  const project_id = (await p.make(recordKinds.project, { name: `Run ${made}`, max_retakes: made % 3 })).id;
  const sequences = [];
  for (const name of ['A', 'B']) sequences.push((await p.make(recordKinds.sequence, { project_id, name })).id);
  const shots = [];
  for (const name of ['1', '2', '3']) {
    shots.push((await p.make(recordKinds.shot, { project_id, name, sequence_id: sequences[0] as string })).id);
  }
  const tasks = [];
  for (const entity_id of shots) {
    for (const task_type of ['layout', 'comp']) tasks.push((await p.task({ entity_id, task_type })).id);
  }
  return { tasks, shots, sequences };
}

const task = fc.nat({ max: TASKS - 1 });
const status = fc.constantFrom('todo', 'wip', 'review', 'retake', 'done', 'omit');
const date = fc.nat({ max: 9 }).map((minute) => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString());
const number = fc.integer({ min: 1, max: 6 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('comment'), task, status }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('comment'), task, status, date }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('comment'), task }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('edit'), task, number, status, date }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('take back'), task, number }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('bulk'), tasks: fc.uniqueArray(task, { minLength: 1 }), status }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('resequence'), shot: fc.nat({ max: 2 }), sequence: fc.nat({ max: 2 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete'), task }) },
) as fc.Arbitrary<Step>;
const steps = fc.array(step, { minLength: 5, maxLength: 40 });

it(`whatever two processes do at once (seed ${SEED}): rows, replay, projections and rebuilt projections agree`, async () => {
  const property = fc.asyncProperty(steps, steps, async (...both) => {
    const all = await things();
    const told = processes.map((child, n) => {
      const answer = next(child);
      child.send({ ...all, steps: both[n] as readonly Step[] } satisfies Order);
      return answer;
    });
    expect(await Promise.all(told)).toEqual([{ done: true }, { done: true }]);
    expect(await p.differences()).toEqual([]);
  });
  await fc.assert(property, { numRuns: RUNS, seed: SEED, endOnFailure: true });
  for (const projection of projections) {
    expect((await compareRebuilt(p.database, projection)).differences).toEqual([]);
  }
  const { rows } = await p.database.query<{ moved: number; backdated: number; deleted: number }>(
    `SELECT (SELECT count(*) FROM task_history WHERE field = 'status')::int AS moved,
       (SELECT count(*) FROM task_comment WHERE date < '2026-01-02')::int AS backdated,
       (SELECT count(*) FROM task_comment_journal WHERE change = 'DELETE')::int AS deleted`,
  );
  const { moved, backdated, deleted } = rows[0] as { moved: number; backdated: number; deleted: number };
  expect([moved > RUNS, backdated > 0, deleted > 0]).toEqual([true, true, true]);
}, 600_000);
