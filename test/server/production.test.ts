import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { addUser, createToken, grantRole } from '#libs/access';
import { Database } from '#libs/database';
import { VOCABULARY } from '../resources/production-fixture.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { type Answer, type TestServer, testServer } from './server-fixture.ts';

let database: TestDatabase;
let owner: Database;
let server: TestServer;
let other: TestServer;
let project: string;
let made = 0;

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 1 });
  await owner.query(VOCABULARY);
  server = await testServer(database.url);
  other = await testServer(database.url);
  project = await make('projects', { name: 'Big' });
});
afterAll(async () => {
  await server?.close();
  await other?.close();
  await owner?.close();
  await database?.drop();
});

async function make(path: string, fields: object): Promise<string> {
  const answer = await server.send('POST', `/${path}`, fields);
  expect([answer.status, fields]).toEqual([201, fields]);
  return (await answer.json()).id;
}

async function task(fields: object = {}, of: string = project): Promise<string> {
  made += 1;
  const entity_id = await make('shots', { project_id: of, name: `S${made}` });
  return make('tasks', { entity_type: 'shot', entity_id, task_type: 'comp', ...fields });
}

function waitingFor(answer: Answer): Record<string, string> {
  return { 'tidemark-wait-for': answer.headers.get('tidemark-tid') as string, 'tidemark-wait-timeout': '30' };
}

describe('a record', () => {
  it('is made, read, changed and deleted', async () => {
    const created = await server.send('POST', '/shots', { project_id: project, name: 'One', frames: 96 });
    const { id, ...fields } = await created.json();
    expect([created.status, created.headers.get('location')]).toEqual([201, `/shots/${id}`]);
    const rest = { sequence_id: null, description: '', max_retakes: null, not_applicable: false };
    expect(fields).toEqual({ project_id: project, name: 'One', frames: 96, ...rest });
    const read = await server.ask(`/shots/${id}`);
    expect(read.headers.get('etag')).toBe(created.headers.get('etag'));
    const changed = await server.send('PUT', `/shots/${id}`, { frames: 120 });
    expect(await changed.json()).toEqual({ id, ...fields, frames: 120 });
    const same = await server.send('PUT', `/shots/${id}`, { frames: 120 });
    expect([same.status, same.headers.has('tidemark-tid')]).toEqual([200, false]);
    const before = created.headers.get('tidemark-tid');
    expect(
      (await (await server.ask(`/shots/${id}?as_of=${before}`, { headers: waitingFor(changed) })).json()).frames,
    ).toBe(96);
    expect((await server.ask(`/shots/${id}`, { method: 'DELETE' })).status).toBe(200);
    expect((await server.ask(`/shots/${id}`)).status).toBe(404);
    const { items } = await (await server.ask(`/shots/${id}/history`)).json();
    expect(items.map(({ change }: { change: string }) => change)).toEqual(['DELETE', 'MODIFY', 'CREATE']);
    for (const path of ['/shots/999999', '/shots/x', '/shots/999999/history', '/task-types/lost']) {
      expect([path, (await server.ask(path)).status]).toEqual([path, 404]);
    }
  });

  it('changes only as the condition says, and once under a key', async () => {
    const id = await task();
    const etag = (await server.ask(`/tasks/${id}`)).headers.get('etag') as string;
    const moves = await Promise.all(
      Array.from({ length: 8 }, () =>
        server.send('PUT', `/tasks/${id}/status`, { status: 'wip' }, { 'if-match': etag }),
      ),
    );
    expect(moves.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 7 }, () => 412)]);
    const key = { 'idempotency-key': `key-${id}` };
    const first = await server.send('PUT', `/tasks/${id}/status`, { status: 'retake', comment: 'x' }, key);
    const again = await other.send('PUT', `/tasks/${id}/status`, { status: 'retake', comment: 'x' }, key);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(await again.json()).toEqual(await first.json());
    expect((await (await server.ask(`/tasks/${id}`)).json()).comments).toBe(2);
  });

  it.each([
    ['POST', 'shots', { name: 'No project' }, 'project_id'],
    ['POST', 'shots', { project_id: '999999', name: 'x' }, 'project_id'],
    ['POST', 'shots', { project_id: '1', name: 'x', frames: 1.5 }, 'frames'],
    ['POST', 'shots', { project_id: '1', name: 'x', size: 3 }, 'size'],
    ['POST', 'shots', { project_id: '1', name: ' ' }, 'name'],
    ['POST', 'projects', { name: 'x', id: 3 }, 'id'],
    ['POST', 'task-types', { id: 'All', name: 'x' }, 'id'],
    ['POST', 'task-statuses', { id: 'both', name: 'x', is_done: true, is_wip: true }, 'is_wip'],
    ['PUT', 'task-statuses/wip', { is_done: true }, 'is_done'],
    ['PUT', 'tasks/1', { task_type: 'layout' }, 'task_type'],
    ['PUT', 'tasks/1', { assignees: ['x'] }, 'assignees'],
  ])('%s /%s %j is refused by %s', async (method, path, fields, at) => {
    await owner.query(`INSERT INTO project (id, name) VALUES (1, 'one') ON CONFLICT DO NOTHING`);
    const answer = await server.send(method, `/${path}`, fields);
    const { errors } = await answer.json();
    expect([answer.status, errors?.[0]?.path]).toEqual([422, at]);
  });

  it.each<[string, object, string]>([
    ['projects', {}, 'name: is missing: must be text'],
    ['assets', { project_id: 1, name: 'x', kind: 3 }, 'kind: must be text, not a number'],
    ['tasks', { entity_id: 1, task_type: 'x' }, 'entity_type: must be one of shot, asset'],
    ['tasks', { entity_type: 'shot', task_type: 'x' }, 'entity_id: must be an id: text, or a whole number'],
    ['tasks', { entity_type: 'shot', entity_id: 1, task_type: 'x', priority: 9 }, 'priority: must be at most 3'],
    ['tasks', { entity_type: 'shot', entity_id: 1, task_type: 'x', difficulty: 0 }, 'difficulty: must be at least 1'],
    ['data-consistency/validate/bulk', { entities: [] }, 'entities: must have at least 1 item'],
    ['data-consistency/repair', { entities: Array(101).fill(0) }, 'entities: must have at most 100 items'],
  ])('POST /%s %j is refused with: %s', async (path, fields, detail) => {
    const answer = await server.send('POST', `/${path}`, fields);
    expect((await answer.json()).detail).toContain(detail);
  });

  it('that others need is not deleted, and a name is not taken twice', async () => {
    const id = await make('projects', { name: 'Held' });
    await make('sequences', { project_id: id, name: 'A' });
    const held = await server.ask(`/projects/${id}`, { method: 'DELETE' });
    expect([held.status, (await held.json()).detail]).toEqual([
      409,
      `project ${id} cannot be deleted: in use by 1 sequence`,
    ]);
    const twice = await server.send('POST', '/sequences', { project_id: id, name: 'A' });
    expect([twice.status, (await twice.json()).detail]).toEqual([
      409,
      expect.stringContaining('something else already has that project_id, name'),
    ]);
    await task({}, id);
    for (const path of ['/task-types/comp', '/task-statuses/todo']) {
      expect([path, (await server.ask(path, { method: 'DELETE' })).status]).toEqual([path, 409]);
    }
    expect((await server.send('POST', '/task-statuses', { id: 'wip', name: 'x' })).status).toBe(409);
    await make('task-statuses', { id: 'gone', name: 'x' });
    expect((await server.ask('/task-statuses/gone', { method: 'DELETE' })).status).toBe(200);
    const again = await server.send('POST', '/task-statuses', { id: 'gone', name: 'x', is_done: true });
    expect((await again.json()).detail).toBe('there is or was a task status gone: take another name');
  });

  it('is the one default status, also when two become it at once', async () => {
    for (const id of ['d1', 'd2']) await make('task-statuses', { id, name: id });
    const both = ['d1', 'd2'].map((id) => server.send('PUT', `/task-statuses/${id}`, { is_default: true }));
    expect((await Promise.all(both)).map(({ status }) => status)).toEqual([200, 200]);
    const { rows } = await owner.query('SELECT count(*)::int AS n FROM task_status WHERE is_default');
    expect(rows).toEqual([{ n: 1 }]);
    await server.send('PUT', '/task-statuses/todo', { is_default: true });
  });
});

describe('a list', () => {
  it('shows shots with their tasks, wherever they were changed, to those who wait', async () => {
    const id = await make('projects', { name: 'Listed' });
    const tasks = [await task({}, id), await task({ task_type: 'layout' }, id)];
    const moved = await other.send('PUT', `/tasks/${tasks[0]}/status`, { status: 'done' });
    const answer = await server.ask(`/shots?project_id=${id}`, { headers: waitingFor(moved) });
    const { items, next } = await answer.json();
    expect(next).toBeNull();
    expect(items).toMatchObject([
      { task_status: { comp: 'done' }, task_details: [{ id: tasks[0], status: 'done' }], progress: 'final' },
      { task_status: { layout: 'todo' }, task_details: [{ id: tasks[1] }], progress: 'waiting' },
    ]);
    const progress = await server.ask(`/projects/${id}/progress`, { headers: waitingFor(moved) });
    expect((await progress.json()).items[0]).toEqual({ sequence_id: 'all', task_type: 'all', status: 'all', count: 2 });
  });

  it('is paged, filtered, and streamed a record in each line', async () => {
    const id = await make('projects', { name: 'Long' });
    await owner.query(
      `INSERT INTO asset (project_id, name, kind) SELECT $1, 'A' || n, CASE WHEN n % 2 = 0 THEN 'prop' ELSE 'set' END
         FROM generate_series(1, 1201) n`,
      [id],
    );
    const path = `/assets?project_id=${id}&kind=prop`;
    const found: string[] = [];
    for (let cursor = ''; ; ) {
      const page = await (await server.ask(`${path}&limit=250${cursor}`)).json();
      found.push(...page.items.map(({ name }: { name: string }) => name));
      if (page.next === null) break;
      cursor = `&cursor=${page.next}`;
      const elsewhere = await server.ask(`/assets?project_id=${id}${cursor}`);
      expect(elsewhere.status).toBe(400);
    }
    expect([found.length, new Set(found).size]).toEqual([600, 600]);
    const stream = await server.ask(`/assets?project_id=${id}`, { headers: { accept: 'application/x-ndjson' } });
    expect(stream.headers.get('content-type')).toMatch(/^application\/x-ndjson/);
    const lines = (await stream.text())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect([lines.length, new Set(lines.map((line) => line.id)).size]).toEqual([1201, 1201]);
    expect(lines[0]).toMatchObject({ task_status: {}, task_details: [], progress: 'waiting' });
    const none = await server.ask('/shots?project_id=999999', { headers: { accept: 'application/x-ndjson' } });
    expect([none.status, await none.text()]).toEqual([200, '']);
    for (const wrong of ['project_id=x', 'size=3', 'limit=0', 'sequence_id=%00']) {
      expect([wrong, (await server.ask(`/shots?${wrong}`)).status]).toEqual([wrong, 422]);
    }
    expect((await server.ask('/shots?cursor=x')).status).toBe(400);
    expect((await (await server.ask(`/shots?project_id=${id}&sequence_id=none`)).json()).items).toEqual([]);
  });
});

describe('statuses of tasks', () => {
  it('change together under one tid, or not at all', async () => {
    const ids = [await task(), await task()];
    const updates = ids.map((task_id) => ({ task_id: Number(task_id), status: 'wip' }));
    const done = await server.send('PUT', '/tasks/bulk/status', { updates });
    const { tid, results } = await done.json();
    expect([done.headers.get('tidemark-tid'), results[0].outcome]).toEqual([String(tid), 'changed']);
    const wrong = [...updates, { task_id: '999999', status: 'done' }];
    const refused = await server.send('PUT', '/tasks/bulk/status', { updates: wrong });
    expect([refused.status, (await refused.json()).errors]).toMatchObject([422, [{ path: 'updates.2' }]]);
    const partial = await server.send('PUT', '/tasks/bulk/status?partial=true', { updates: wrong });
    expect((await partial.json()).results.map((one: { outcome: string }) => one.outcome)).toEqual([
      ...['unchanged', 'unchanged', 'refused'],
    ]);
    for (const body of [{ updates: [] }, { updates: Array.from({ length: 1001 }, () => wrong[0]) }, {}]) {
      expect((await server.send('PUT', '/tasks/bulk/status', body)).status).toBe(422);
    }
  });

  it('have comments, which can be changed and taken back', async () => {
    const id = await task();
    await server.send('POST', `/tasks/${id}/comments`, { text: 'hello' });
    await server.send('PUT', `/tasks/${id}/status`, { status: 'done', comment: 'so' });
    const path = `/tasks/${id}/comments`;
    const one = await (await server.ask(`${path}?limit=1`)).json();
    const two = await (await server.ask(`${path}?limit=1&cursor=${one.next}`)).json();
    expect([...one.items, ...two.items]).toMatchObject([
      { number: 1, status: null, text: 'hello', author: 'admin' },
      { number: 2, status: 'done', text: 'so', author: 'admin' },
    ]);
    expect(two.next).toBeNull();
    expect((await server.ask(`${path}?cursor=${one.next}x`)).status).toBe(400);
    const retake = await server.send('PUT', `${path}/2`, { status: 'retake' });
    expect(await retake.json()).toMatchObject({ status: 'retake', retake_count: 1 });
    const stale = await server.ask(`${path}/2`, { method: 'DELETE', headers: { 'if-match': '"0-0"' } });
    expect(stale.status).toBe(412);
    expect(await (await server.ask(`${path}/2`, { method: 'DELETE' })).json()).toMatchObject({
      status: 'todo',
      retake_count: 0,
    });
    for (const number of ['2', '0', 'x', '99999999999']) {
      expect((await server.ask(`${path}/${number}`, { method: 'DELETE' })).status).toBe(404);
    }
    expect((await server.send('POST', path, {})).headers.has('tidemark-tid')).toBe(false);
  });
});

describe('a coordinator of one project', () => {
  it('works there, sees no other project, and is not told of it', async () => {
    const [own, foreign] = [await make('projects', { name: 'Own' }), await make('projects', { name: 'Foreign' })];
    await addUser(server.database, { name: 'carol' });
    await grantRole(server.database, { user: 'carol', role: 'coordinator', project: own });
    const { token } = await createToken(server.database, { user: 'carol', roles: [] });
    const [mine, theirs] = [await task({}, own), await task({}, foreign)];
    const as = async (method: string, path: string, body?: object) => {
      const headers = { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) };
      const answer = await fetch(server.url + path, {
        method,
        headers,
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, never> };
    };
    const status = { status: 'wip' };
    expect((await as('PUT', `/tasks/${mine}/status`, status)).status).toBe(200);
    expect((await as('PUT', `/tasks/${theirs}/status`, status)).status).toBe(404);
    expect((await as('GET', `/tasks/${theirs}`)).status).toBe(404);
    expect((await as('GET', `/tasks/${theirs}/history`)).status).toBe(404);
    expect((await as('GET', `/tasks/${theirs}/comments`)).status).toBe(404);
    expect((await as('GET', `/projects/${foreign}/progress`)).status).toBe(404);
    expect((await as('POST', '/shots', { project_id: foreign, name: 'x' })).status).toBe(422);
    expect((await as('POST', '/projects', { name: 'Third' })).status).toBe(403);
    expect((await as('DELETE', `/projects/${own}`)).status).toBe(403);
    expect((await as('GET', '/projects')).body).toMatchObject({ items: [{ id: own }] });
    expect((await as('GET', `/shots?project_id=${foreign}`)).body).toMatchObject({ items: [] });
    expect((await as('GET', '/task-statuses')).status).toBe(200);
    const updates = [mine, theirs].map((task_id) => ({ task_id, status: 'done' }));
    expect((await as('PUT', '/tasks/bulk/status', { updates })).body).toMatchObject({
      errors: [{ path: 'updates.1' }],
    });
    const partial = await as('PUT', '/tasks/bulk/status?partial=true', { updates });
    expect(partial.body).toMatchObject({
      results: [{ outcome: 'changed' }, { outcome: 'refused', code: 'not_found' }],
    });
  });
});
