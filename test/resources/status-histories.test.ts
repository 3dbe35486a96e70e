import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { rebuild } from '#libs/projection';
import {
  changeStatuses,
  createTask,
  deleteRecord,
  entityTaskStatusProjection,
  projections,
  projectProgressProjection,
  recordKinds,
  validateEntities,
} from '#libs/resources';
import { repositoryRoot } from '../support/repository-root.ts';
import { joe, type ProductionFixture, productionFixture } from './production-fixture.ts';

// Real histories of a status, with each document as an asset whose status is that of its task: ethereum-eips/README.md.

interface Change {
  readonly commit: number;
  readonly document: string;
  readonly before: string;
  readonly after: string;
}

interface Snapshot {
  readonly commit: number;
  readonly status: Readonly<Record<string, number>>;
}

const folder = join(repositoryRoot(), 'test/resources/ethereum-eips');
const snapshots: readonly Snapshot[] = JSON.parse(readFileSync(join(folder, 'status-snapshots.json'), 'utf8'));
const changes: readonly Change[] = readFileSync(join(folder, 'status-changes.tsv'), 'utf8')
  .trimEnd()
  .split('\n')
  .slice(1)
  .map((line) => {
    const [commit, document, before, after] = line.split('\t') as [string, string, string, string];
    return { commit: Number(commit), document, before: idOf(before), after: idOf(after) };
  });

const FLAGS: Readonly<Record<string, object>> = {
  draft: { is_default: true },
  'last-call': { is_feedback: true },
  final: { is_done: true },
  withdrawn: { is_not_applicable: true },
};

let p: ProductionFixture;
let project: string;
const assets = new Map<string, string>();
const tasks = new Map<string, string>();

beforeAll(async () => {
  p = await productionFixture();
  await p.owner.query('UPDATE task_status SET is_default = false');
  const ids = new Set(changes.map(({ after }) => after));
  // a document without a status has no task; the fixture has a status review
  for (const id of ids.difference(new Set(['', 'review']))) {
    await p.make(recordKinds.taskStatus, { id, name: id, ...FLAGS[id] });
  }
  project = (await p.make(recordKinds.project, { name: 'Proposals' })).id;
  const { rows } = await p.owner.query<{ name: string; id: string }>(
    'INSERT INTO asset (project_id, name) SELECT $1, unnest($2::text[]) RETURNING name, id::text AS id',
    [project, [...new Set(changes.map(({ document }) => document))]],
  );
  for (const { name, id } of rows) assets.set(name, id);
});
afterAll(() => p?.close());

function idOf(status: string): string {
  return status.toLowerCase().replaceAll(' ', '-');
}

/** What a commit does: documents come and go, and those that stay change together, under one tid. */
async function apply(commit: readonly Change[]): Promise<void> {
  for (const { document, after } of commit.filter(({ before }) => before === '')) {
    const entity_id = assets.get(document) as string;
    const fields = { entity_type: 'asset', entity_id, task_type: 'layout', status: after };
    tasks.set(document, (await createTask(p.kernel, joe, fields)).task.id);
  }
  for (const { document } of commit.filter(({ after }) => after === '')) {
    await deleteRecord(p.kernel, joe, recordKinds.task, taskOf(document));
    tasks.delete(document);
  }
  const moved = commit.filter(({ before, after }) => before !== '' && after !== '');
  if (moved.length === 0) return;
  const updates = moved.map(({ document, after }) => ({ task_id: taskOf(document), status: after }));
  const { results } = await changeStatuses(p.kernel, joe, updates);
  expect(results.map(({ old_status }) => old_status)).toEqual(moved.map(({ before }) => before));
}

function taskOf(document: string): string {
  return tasks.get(document) as string;
}

async function counts(text: string): Promise<Record<string, number>> {
  const { rows } = await p.database.query<{ status: string; count: number }>(text, [project]);
  return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
}

/** How many documents are at each status, by all that can tell. */
async function told() {
  return {
    rows: await counts('SELECT status, count(*)::int AS count FROM task WHERE project_id = $1 GROUP BY 1'),
    entities: await counts(
      `SELECT task_status->>'layout' AS status, count(*)::int AS count FROM entity_task_status
         JOIN asset ON entity_type = 'asset' AND entity_id = asset.id WHERE project_id = $1 GROUP BY 1`,
    ),
    progress: await counts(
      'SELECT status, sum(count)::int AS count FROM project_progress WHERE project_id = $1 GROUP BY 1',
    ),
  };
}

it('1,425 real transitions: live, rebuilt and validated they come to the counts of their source, at 13 moments', async () => {
  expect(changes.filter(({ before, after }) => before !== '' && after !== '')).toHaveLength(1_425);
  expect(snapshots).toHaveLength(13);
  const commits = [...Map.groupBy(changes, ({ commit }) => commit)].values();
  let next = commits.next();
  for (const [n, { commit, status }] of snapshots.entries()) {
    while (!next.done && next.value[0] <= commit) {
      await apply(next.value[1]);
      next = commits.next();
    }
    // a document without a status has no task
    const { '': _, ...named } = status;
    const expected = Object.fromEntries(Object.entries(named).map(([name, count]) => [idOf(name), count]));
    await p.caughtUp();
    expect([commit, await told()]).toEqual([commit, { rows: expected, entities: expected, progress: expected }]);
    const entities = [...assets.values()].map((entity_id) => ({ entity_type: 'asset' as const, entity_id }));
    const judged = (await validateEntities(p.kernel, entities)).map(({ validation }) => validation);
    expect(judged.filter(({ valid }) => !valid)).toEqual([]);
    const shown = judged.filter(({ task_count }) => task_count > 0);
    expect(shown).toHaveLength(Object.values(expected).reduce((sum, count) => sum + count, 0));
    if (n % 4 > 0) continue;
    for (const projection of [entityTaskStatusProjection, projectProgressProjection])
      await rebuild(p.owner, projection);
    expect([commit, await told()]).toEqual([commit, { rows: expected, entities: expected, progress: expected }]);
  }
  expect(next.done).toBe(true);
  expect(await p.differences()).toEqual([]);
  expect(projections).toHaveLength(3);
}, 300_000);
