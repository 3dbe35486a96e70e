import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Database } from '#libs/database';
import { createKernel, type Kernel } from '#libs/kernel';
import { compare, compareRebuilt, compareWithin, rebuild } from '#libs/projection';
import {
  changeStatuses,
  changeTask,
  createTask,
  deleteRecord,
  entityTaskStatus,
  entityTaskStatusProjection,
  listEntities,
  readProgress,
  recordKinds,
  resources,
  taskCycleTimeProjection,
} from '#libs/resources';
import { pastTriggers } from '../support/past-triggers.ts';
import { joe, type ProductionFixture, productionFixture } from './production-fixture.ts';

let p: ProductionFixture;
beforeAll(async () => {
  p = await productionFixture();
});
afterAll(() => p?.close());

/** How many statements work over a database takes: it has one connection, on which they are counted. */
async function statements(work: (kernel: Kernel) => Promise<unknown>): Promise<number> {
  const database = Database.open({ url: p.test.url, poolSize: 1 });
  try {
    const connection = await database.connect();
    const asked = jest.spyOn(connection.client, 'query');
    connection.release();
    await work(createKernel({ database, resources }));
    return asked.mock.calls.length;
  } finally {
    await database.close();
  }
}

describe('the number of statements', () => {
  it('does not depend on how many tasks are changed, nor on how many shots are listed', async () => {
    const { id: project } = await p.make(recordKinds.project, { name: 'Many' });
    await p.owner.query(`INSERT INTO shot (project_id, name) SELECT $1, 'M' || n FROM generate_series(1, 60) n`, [
      project,
    ]);
    await p.owner.query(
      `INSERT INTO task (project_id, entity_type, entity_id, task_type, initial_status, status)
         SELECT $1, 'shot', id, 'comp', 'todo', 'todo' FROM shot WHERE project_id = $1`,
      [project],
    );
    const { rows } = await p.database.query<{ id: string }>('SELECT id::text AS id FROM task WHERE project_id = $1', [
      project,
    ]);
    const bulk = (count: number) =>
      statements((kernel) =>
        changeStatuses(
          kernel,
          joe,
          rows.slice(-count).map(({ id }) => ({ task_id: id, status: count === 1 ? 'wip' : 'done' })),
        ),
      );
    const list = (limit: number) =>
      statements(({ database }) =>
        listEntities(database as Database, 'shot', { filter: { project_id: project }, limit }),
      );
    const [one, all] = [await bulk(1), await bulk(60)];
    expect([one, await list(1)]).toEqual([all, await list(60)]);
    expect([all <= 8, await list(60)]).toEqual([true, 2]);
  });
});

describe('what is compared', () => {
  it('is of one snapshot: a write between two reads is in neither', async () => {
    const task = await p.fresh();
    await p.caughtUp();
    const connection = await p.database.connect();
    try {
      await connection.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      const before = await entityTaskStatus(connection, 'shot', [task.entity_id]);
      await p.change(task, { status: 'wip' });
      await p.caughtUp();
      const keys = [['shot', task.entity_id]];
      const { differences } = await compareWithin(connection, entityTaskStatusProjection, { keys });
      const [listed] = await listEntities(connection, 'shot', { ids: [task.entity_id], limit: 1 });
      expect([differences, listed?.task_status]).toEqual([[], { comp: 'todo' }]);
      expect(before.get(task.entity_id)?.task_status).toEqual({ comp: 'todo' });
    } finally {
      await connection.query('ROLLBACK');
      connection.release();
    }
  });

  it('is stale while a change waits for the projection, and wrong, missing or extra when it was damaged', async () => {
    const [task, other] = [await p.fresh(), await p.fresh()];
    await p.caughtUp();
    const keys = [task, other].map(({ entity_id }) => ['shot', entity_id]);
    const kinds = async () =>
      (await compare(p.database, entityTaskStatusProjection, { keys })).differences.map(
        ({ kind, field, id, stale }) => `${kind} ${field ?? ''} ${id[1]} ${stale}`,
      );
    const holder = await p.owner.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM tidemark.projections FOR UPDATE');
    await p.change(task, { status: 'wip' });
    expect(await kinds()).toEqual(
      ['task_status', 'task_details'].map((field) => `wrong ${field} ${task.entity_id} true`),
    );
    await holder.query('ROLLBACK');
    holder.release();
    await p.caughtUp();
    expect(await kinds()).toEqual([]);
    await p.owner.query(`UPDATE entity_task_status SET task_status = '{}' WHERE entity_id = $1`, [task.entity_id]);
    await p.owner.query('DELETE FROM entity_task_status WHERE entity_id = $1', [other.entity_id]);
    expect((await kinds()).sort()).toEqual([
      `missing  ${other.entity_id} false`,
      `wrong task_status ${task.entity_id} false`,
    ]);
    // what the next change of each recomputes
    for (const each of [task, other]) await p.change(each, { status: 'done' });
    await p.caughtUp();
    expect(await kinds()).toEqual([]);
  });
});

describe('the projections', () => {
  it('show of several tasks of a type the status of the first, and all tasks in the order of their making', async () => {
    const id = await p.freshShot();
    const first = await p.task({ entity_id: id, task_type: 'comp' });
    const second = await p.task({ entity_id: id, task_type: 'comp', name: 'second', status: 'wip' });
    const layout = await p.task({ entity_id: id, task_type: 'layout', status: 'done' });
    await p.caughtUp();
    const shown = async () => (await listEntities(p.database, 'shot', { ids: [id], limit: 9 }))[0];
    expect(await shown()).toMatchObject({
      ...{ task_status: { comp: 'todo', layout: 'done' }, progress: 'in_progress' },
      task_details: [first, second, layout].map((task) => ({ id: task.id, name: task.name, status: task.status })),
    });
    await deleteRecord(p.kernel, joe, recordKinds.task, first.id);
    await p.caughtUp();
    expect((await shown())?.task_status).toEqual({ comp: 'wip', layout: 'done' });
    await changeTask(p.kernel, joe, second.id, { status: 'done' });
    await p.caughtUp();
    expect((await shown())?.progress).toBe('final');
    expect(await p.differences()).toEqual([]);
  });

  it('count the tasks of a project on each axis, and those of shots that move or go', async () => {
    const { id: project } = await p.make(recordKinds.project, { name: 'Counted' });
    expect(await readProgress(p.database, project)).toEqual([
      { sequence_id: 'all', task_type: 'all', status: 'all', count: 0 },
    ]);
    const { id: sequence } = await p.make(recordKinds.sequence, { project_id: project, name: 'A' });
    const { id: one } = await p.make(recordKinds.shot, { project_id: project, name: '1', sequence_id: sequence });
    const { id: rock } = await p.make(recordKinds.asset, { project_id: project, name: 'Rock' });
    await p.task({ entity_id: one, task_type: 'comp' });
    await p.task({ entity_id: one, task_type: 'layout', status: 'wip' });
    await createTask(p.kernel, joe, { entity_type: 'asset', entity_id: rock, task_type: 'comp' });
    const counts = async () => {
      await p.caughtUp();
      const rows = await readProgress(p.database, project);
      return Object.fromEntries(
        rows.map(({ sequence_id, task_type, status, count }) => [`${sequence_id}/${task_type}/${status}`, count]),
      );
    };
    const all = { 'all/all/all': 3, 'all/comp/all': 2, 'all/comp/todo': 2, 'all/all/wip': 1, 'all/all/todo': 2 };
    expect(await counts()).toMatchObject({
      ...all,
      ...{ [`${sequence}/all/all`]: 2, [`${sequence}/comp/todo`]: 1, 'null/comp/todo': 1, 'null/all/all': 1 },
    });
    await p.owner.query('UPDATE shot SET sequence_id = NULL WHERE id = $1', [one]);
    expect(await counts()).toMatchObject({ ...all, 'null/all/all': 3 });
    await deleteRecord(p.kernel, joe, recordKinds.shot, one);
    expect(await counts()).toMatchObject({ 'all/all/all': 1, 'null/comp/todo': 1 });
    expect(await p.differences()).toEqual([]);
  });

  it('add up how long tasks of a type were at each status, by the journal', async () => {
    const { id: project } = await p.make(recordKinds.project, { name: 'Timed' });
    const { id: one } = await p.make(recordKinds.shot, { project_id: project, name: '1' });
    const task = await p.task({ entity_id: one });
    for (const status of ['wip', 'review', 'wip', 'done']) await p.change(task, { status });
    await deleteRecord(p.kernel, joe, recordKinds.task, task.id);
    await p.caughtUp();
    const { rows: times } = await p.owner.query<{ change: string; time: Date }>(
      'SELECT change, time FROM task_journal WHERE id = $1 ORDER BY tid',
      [task.id],
    );
    const [t0, t1, t2, t3, t4, t5] = times.map(({ time }) => time.getTime()) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const { rows } = await p.database.query(
      'SELECT status, visits, milliseconds FROM task_cycle_time WHERE project_id = $1 ORDER BY status',
      [project],
    );
    expect(rows).toEqual([
      { status: 'done', visits: 1, milliseconds: t5 - t4 },
      { status: 'review', visits: 1, milliseconds: t3 - t2 },
      { status: 'todo', visits: 1, milliseconds: t1 - t0 },
      { status: 'wip', visits: 2, milliseconds: t2 - t1 + t4 - t3 },
    ]);
  });

  it('do not count a task of which the journal has lost where it was', async () => {
    const task = await p.fresh();
    await p.change(task, { status: 'wip' });
    await p.caughtUp();
    await pastTriggers(
      { owner: p.owner, tables: ['task_history'] },
      `DELETE FROM task_history h USING task_journal j
         WHERE h.id = '${task.id}' AND h.field = 'status' AND (j.tid, j.id, j.change) = (h.tid, h.id, 'CREATE')`,
    );
    const { differences } = await compareRebuilt(p.database, taskCycleTimeProjection);
    expect(differences).toContainEqual(
      expect.objectContaining({ table: 'task_cycle_position', id: [Number(task.id)], kind: 'extra' }),
    );
    await rebuild(p.database, taskCycleTimeProjection);
    expect((await compareRebuilt(p.database, taskCycleTimeProjection)).differences).toEqual([]);
  });
});
