import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { May } from '#libs/journal';
import {
  changeComment,
  changeStatuses,
  changeTask,
  deleteComment,
  deleteRecord,
  listComments,
  recordKinds,
  type Task,
} from '#libs/resources';
import { joe, type ProductionFixture, productionFixture } from './production-fixture.ts';
import { refusal } from './ticket-fixture.ts';

let p: ProductionFixture;
beforeAll(async () => {
  p = await productionFixture();
});
afterAll(() => p?.close());

const DATE = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();

describe('a task', () => {
  it('is made at the default status, in the project of its entity', async () => {
    const task = await p.fresh();
    expect(task).toMatchObject({
      ...{ status: 'todo', initial_status: 'todo', project_id: p.project, name: 'main', assignees: [], comments: 0 },
      ...{
        retake_count: 0,
        reopened: false,
        real_start_date: null,
        last_comment_date: null,
        priority: 0,
        difficulty: 3,
      },
    });
    expect((await p.fresh({ status: 'wip' })).status).toBe('wip');
  });

  it('is one of its type and name on an entity', async () => {
    const task = await p.fresh();
    expect((await refusal(p.task({ entity_id: task.entity_id }))).code).toBe('conflict');
    expect((await p.task({ entity_id: task.entity_id, name: 'second' })).name).toBe('second');
  });

  it.each([
    [{ entity_id: '999999' }, 'entity_id', 'there is no shot 999999'],
    [{ task_type: 'lost' }, 'task_type', 'there is no task type lost'],
    [{ task_type: 'rig' }, 'task_type', 'tasks of the type rig are for assets'],
    [{ status: 'lost' }, 'status', 'there is no task status lost'],
    [{ assignees: ['999999'] }, 'assignees', 'there is no person 999999'],
    [{ difficulty: 6 }, 'difficulty', 'difficulty must be a whole number from 1 to 5'],
    [{ due_date: '2026-02-30' }, 'due_date', 'due_date must be a day such as 2026-01-31'],
    [{ retake_count: 2 }, 'retake_count', 'retake_count cannot be given here'],
    [{ task_type: undefined }, 'task_type', 'task_type is missing'],
    [{ entity_type: 'project' }, 'entity_type', 'entity_type must be shot or asset'],
  ])('is refused with %p', async (fields, path, message) => {
    expect((await refusal(p.task(fields))).errors).toEqual([{ path, message }]);
  });

  it('goes through statuses by comments, and says what it was before', async () => {
    const task = await p.fresh();
    const { old_status, tid } = await changeTask(p.kernel, joe, task.id, { status: 'wip', comment: 'I begin' });
    expect(old_status).toBe('todo');
    const { rows } = await p.database.query('SELECT resource FROM tidemark.journal WHERE tid = $1 ORDER BY resource', [
      tid,
    ]);
    expect(rows).toEqual([{ resource: 'task' }, { resource: 'task_comment' }]);
    const after = await p.change(task, { status: 'done' });
    expect(after).toMatchObject({ status: 'done', comments: 2 });
    expect(await listComments(p.database, task.id, { limit: 9 })).toMatchObject([
      { number: 1, status: 'wip', text: 'I begin', author: 'joe' },
      { number: 2, status: 'done', text: '', author: 'joe' },
    ]);
  });

  it('is unchanged by the status it has, unless something is said', async () => {
    const task = await p.fresh();
    expect((await changeTask(p.kernel, joe, task.id, { status: 'todo' })).tid).toBeNull();
    const said = await changeTask(p.kernel, joe, task.id, { status: 'todo', comment: 'still' });
    expect(said.task).toMatchObject({ status: 'todo', comments: 1 });
    const again = await p.change(await p.change(task, { status: 'retake' }), { status: 'retake', comment: 'really' });
    expect(again.retake_count).toBe(1);
  });

  it('is not rewound by a comment that comes before others', async () => {
    const task = await p.fresh();
    await p.change(task, { status: 'wip', date: DATE(10) });
    await p.change(task, { status: 'review', date: DATE(20) });
    const after = await p.change(task, { status: 'retake', date: DATE(5) });
    expect(after).toMatchObject({
      status: 'review',
      retake_count: 1,
      real_start_date: DATE(10),
      last_comment_date: DATE(20),
    });
    expect(await p.change(task, { status: 'done', date: DATE(20) })).toMatchObject({
      status: 'done',
      done_date: DATE(20),
    });
  });

  it('is what it would be without a comment when that is deleted', async () => {
    const task = await p.fresh();
    await p.change(task, { status: 'wip', date: DATE(1) });
    const before = await p.change(task, { status: 'retake', date: DATE(2) });
    await p.change(task, { status: 'done', date: DATE(3) });
    const { task: after, old_status } = await deleteComment(p.kernel, joe, task.id, '3');
    expect(after).toEqual({ ...before, comments: 3, row_version: after.row_version });
    expect(old_status).toBe('done');
    expect((await p.change(task, { status: 'review' })).comments).toBe(4);
    for (const number of ['4', '1', '2']) await deleteComment(p.kernel, joe, task.id, number);
    const { rows } = await p.database.query('SELECT status, retake_count, last_comment_date FROM task WHERE id = $1', [
      task.id,
    ]);
    expect(rows).toEqual([{ status: 'todo', retake_count: 0, last_comment_date: null }]);
    expect((await refusal(deleteComment(p.kernel, joe, task.id, '4'))).message).toBe(
      `task ${task.id} has no comment 4`,
    );
  });

  it('is what it would be had a comment been otherwise when that is changed', async () => {
    const task = await p.fresh();
    await p.change(task, { status: 'wip', date: DATE(1) });
    await p.change(task, { status: 'retake', comment: 'no', date: DATE(2) });
    const { task: after } = await changeComment(p.kernel, joe, task.id, '2', { status: null });
    expect(after).toMatchObject({ status: 'wip', retake_count: 0 });
    expect((await changeComment(p.kernel, joe, task.id, '1', { date: DATE(9), status: 'done' })).task.status).toBe(
      'done',
    );
    expect((await changeComment(p.kernel, joe, task.id, '1', { status: 'done' })).tid).toBeNull();
    expect((await refusal(changeComment(p.kernel, joe, task.id, '2', { text: ' ' }))).message).toMatch(/needs a text/);
  });

  it('takes no comment of the future, of no time, or with what is no status', async () => {
    const task = await p.fresh();
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
    expect((await refusal(p.change(task, { status: 'wip', date: tomorrow }))).message).toBe('date lies in the future');
    for (const date of ['yesterday', '2026-01-01', '2026-13-01T00:00:00Z', '0000-01-01T00:00:00Z']) {
      expect((await refusal(p.change(task, { status: 'wip', date }))).errors).toMatchObject([{ path: 'date' }]);
    }
    expect((await refusal(p.change(task, { date: DATE(1) }))).message).toMatch(/give a status or a comment/);
    expect((await refusal(p.change(task, { status: 'lost' }))).errors).toMatchObject([{ path: 'status' }]);
    expect((await refusal(p.change(task, { comment: 'a\0b' }))).errors).toMatchObject([{ path: 'comment' }]);
    const { rows } = await p.database.query('SELECT count(*)::int AS n FROM task_journal WHERE id = $1', [task.id]);
    expect(rows).toEqual([{ n: 1 }]);
  });

  it('keeps those who are assigned from being deleted', async () => {
    const ann = await p.make(recordKinds.person, { name: 'Ann' });
    const task = await p.fresh({ assignees: [ann.id] });
    const refused = await refusal(deleteRecord(p.kernel, joe, recordKinds.person, ann.id));
    expect(refused.message).toBe(`person ${ann.id} cannot be deleted: in use by 1 task`);
    expect((await p.change(task, { assignees: [], due_date: '2026-05-01' })).due_date).toBe('2026-05-01');
    await deleteRecord(p.kernel, joe, recordKinds.person, ann.id);
  });
});

describe('the cap of retakes', () => {
  it('is the project’s, which an entity may override only where there is one', async () => {
    const big = await p.make(recordKinds.project, { name: 'Capped', max_retakes: 1 });
    const none = await p.make(recordKinds.project, { name: 'Free', max_retakes: 0 });
    const taskIn = async (project: string, max_retakes: number | null) => {
      const { id } = await p.make(recordKinds.shot, { project_id: project, name: `cap ${max_retakes}`, max_retakes });
      return p.task({ entity_id: id });
    };
    const retakes = async (task: Task, n: number) => {
      for (let turn = 0; turn < n; turn++)
        await p.change(await p.change(task, { status: 'wip' }), { status: 'retake' });
    };
    const capped = await taskIn(big.id, null);
    await retakes(capped, 1);
    await p.change(capped, { status: 'wip' });
    const refused = await refusal(p.change(capped, { status: 'retake', comment: 'no' }));
    expect(refused.errors).toEqual([{ path: 'status', message: 'the task may be sent back once at most' }]);
    expect((await refusal(p.change(capped, { status: 'retake', date: DATE(0) }))).code).toBe('invalid');
    const own = await taskIn(big.id, 2);
    await retakes(own, 2);
    expect((await refusal(retakes(own, 1))).code).toBe('invalid');
    await retakes(await taskIn(none.id, 1), 3);
    await retakes(await taskIn(big.id, 0), 3);
  });
});

describe('many statuses at once', () => {
  it('change under one tid', async () => {
    const tasks = [await p.fresh(), await p.fresh(), await p.fresh({ status: 'wip' })];
    const updates = tasks.map(({ id }) => ({ task_id: id, status: 'wip' })).reverse();
    const { tid, results } = await changeStatuses(p.kernel, joe, updates);
    expect(results.map(({ outcome }) => outcome)).toEqual(['unchanged', 'changed', 'changed']);
    expect(results[1]).toEqual({ task_id: tasks[1]?.id, outcome: 'changed', old_status: 'todo', status: 'wip' });
    const { rows } = await p.database.query(
      'SELECT resource, count(*)::int AS n FROM tidemark.journal WHERE tid = $1 GROUP BY resource ORDER BY resource',
      [tid],
    );
    expect(rows).toEqual([
      { resource: 'task', n: 2 },
      { resource: 'task_comment', n: 2 },
    ]);
    expect((await changeStatuses(p.kernel, joe, updates)).tid).toBeNull();
  });

  it('are refused as a whole, each that is wrong named', async () => {
    const task = await p.fresh();
    const other = await p.fresh();
    const updates = [
      ...[
        { task_id: task.id, status: 'wip' },
        { task_id: '999999', status: 'wip' },
        { task_id: task.id, status: 'done' },
      ],
      ...[
        { task_id: 'x', status: 'wip' },
        { task_id: other.id, status: 'lost' },
      ],
    ];
    const { errors, code } = await refusal(changeStatuses(p.kernel, joe, updates));
    expect(code).toBe('invalid');
    expect(errors).toEqual([
      { path: 'updates.1', message: 'updates.1: there is no task 999999' },
      { path: 'updates.2', message: `updates.2: task ${task.id} is given twice` },
      { path: 'updates.3', message: 'updates.3: there is no task x' },
      { path: 'updates.4', message: 'updates.4: there is no task status "lost"' },
    ]);
    const partial = await changeStatuses(p.kernel, joe, updates, { partial: true });
    expect(partial.results.map(({ outcome, code: why }) => why ?? outcome)).toEqual([
      'changed',
      'not_found',
      'invalid',
      'not_found',
      'invalid',
    ]);
    for (const n of [0, 1001]) {
      const many = Array.from({ length: n }, () => ({ task_id: '1', status: 'wip' }));
      expect((await refusal(changeStatuses(p.kernel, joe, many))).message).toBe(`give 1 to 1000 updates, not ${n}`);
    }
  });

  it('are forbidden where the caller may only look, and unknown where not even that', async () => {
    const tasks = [await p.fresh(), await p.fresh()];
    const updates = tasks.map(({ id }) => ({ task_id: id, status: 'wip' }));
    const may =
      (actions: string[]): May =>
      (_, action) =>
        actions.includes(action);
    const looks = await refusal(changeStatuses(p.kernel, joe, updates, { may: may(['read']) }));
    expect([looks.code, looks.errors.length]).toEqual(['forbidden', 2]);
    expect((await refusal(changeStatuses(p.kernel, joe, updates, { may: may([]) }))).code).toBe('invalid');
    const outcomes = await changeStatuses(p.kernel, joe, updates, { may: may(['read']), partial: true });
    expect(outcomes).toMatchObject({ tid: null, results: [{ code: 'forbidden' }, { code: 'forbidden' }] });
    expect(
      (await refusal(changeTask(p.kernel, joe, tasks[0]?.id ?? '', { priority: 1 }, { may: may(['read', 'status']) })))
        .code,
    ).toBe('forbidden');
  });
});
