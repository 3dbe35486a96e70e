import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { addUser, createToken, grantRole } from '#libs/access';
import { Database } from '#libs/database';
import { highestTid } from '#libs/dispatch';
import { resetListener } from '#libs/effects';
import { PROPAGATION, projections } from '#libs/resources';
import { VOCABULARY } from '../resources/production-fixture.ts';
import { pastTriggers } from '../support/past-triggers.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { answerFaults } from './openapi/check-answer.ts';
import { Document, type Operation } from './openapi/document.ts';
import { type Answer, type TestServer, testServer } from './server-fixture.ts';

const AT = '/data-consistency';

let database: TestDatabase;
let owner: Database;
let server: TestServer;
let document: Document;
let project: string;
let made = 0;

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 2 });
  await owner.query(VOCABULARY);
  server = await testServer(database.url, {}, { consistencyRules: [{ name: 'content', judge: () => [] }] });
  document = await Document.of(server);
  project = await make('projects', { name: 'Big' });
});
afterAll(async () => {
  await server?.close();
  await owner?.close();
  await database?.drop();
});

async function make(path: string, fields: object): Promise<string> {
  const answer = await server.send('POST', `/${path}`, fields);
  expect([answer.status, fields]).toEqual([201, fields]);
  return (await answer.json()).id;
}

const newProject = () => make('projects', { name: `P${++made}` });
const newShot = (of: string = project) => make('shots', { project_id: of, name: `S${++made}` });

async function newTask(of: string = project): Promise<{ shot: string; task: string }> {
  const shot = await newShot(of);
  return { shot, task: await make('tasks', { entity_type: 'shot', entity_id: shot, task_type: 'comp' }) };
}

async function caughtUp(): Promise<void> {
  const names = projections.map(({ name }) => name);
  await server.kernel.waitFor(await highestTid(server.database), { projections: names, timeout: 60_000 });
}

/** What a route answers, which must be as the document says. */
async function read(operationId: string, answer: Answer) {
  const body = await answer.text();
  const operation = document.operations.find((one) => one.operationId === operationId) as Operation;
  const answered = { status: answer.status, headers: Object.fromEntries(answer.headers), body };
  // 503 is how health says that it is bad
  const faults = answerFaults(document, operation, answered).filter((fault) => fault !== 'the server failed: 503');
  expect([operationId, faults]).toEqual([operationId, []]);
  return { status: answer.status, body: JSON.parse(body) };
}

const get = async (operationId: string, path: string) => read(operationId, await server.ask(AT + path));
const post = async (operationId: string, path: string, body: object) =>
  read(operationId, await server.send('POST', AT + path, body));

const bypass = (...statements: string[]) => pastTriggers({ owner, tables: ['task'] }, ...statements);
const breakShots = (...shots: string[]) =>
  bypass(`UPDATE entity_task_status SET task_status = '{"comp": "done"}' WHERE entity_id IN (${shots.join()})`);

async function propagations(task: string) {
  return (await get('listPropagations', `/propagations?task_id=${task}`)).body.items;
}

async function told(task: string, count: number) {
  await waitUntil(async () => (await propagations(task)).length >= count, `${count} propagations of ${task}`);
  return propagations(task);
}

describe('validation', () => {
  it('tells of one, in the shape that is promised', async () => {
    const { shot } = await newTask();
    await caughtUp();
    const { status, body } = await get('validateEntity', `/validate/shot/${shot}`);
    expect([status, body]).toEqual([
      200,
      {
        ...{ entity_type: 'shot', entity_id: shot, valid: true, inconsistencies: [], task_count: 1 },
        projection_tid: expect.any(Number),
        head_tid: expect.any(Number),
        checked_at: expect.stringMatching(/Z$/),
      },
    ]);
    const empty = await newShot();
    expect((await get('validateEntity', `/validate/shot/${empty}`)).body).toMatchObject({ valid: true, task_count: 0 });
    for (const [path, expected] of [
      ['shot/999999', 404],
      ['asset/x', 404],
      ['scene/1', 400],
    ] as const) {
      expect([path, (await get('validateEntity', `/validate/${path}`)).status]).toEqual([path, expected]);
    }
    await server.ask(`/shots/${empty}`, { method: 'DELETE' });
    expect((await get('validateEntity', `/validate/shot/${empty}`)).status).toBe(404);
  });

  it('tells of 1 to 100 in the order asked, and of each that there is not', async () => {
    const { shot } = await newTask();
    const asset = await make('assets', { project_id: project, name: `A${++made}` });
    await caughtUp();
    const ask = (entities: object[]) => post('validateEntities', '/validate/bulk', { entities });
    const one = { entity_type: 'shot', entity_id: shot };
    expect((await ask([])).status).toBe(422);
    expect((await ask(Array.from({ length: 101 }, () => one))).status).toBe(422);
    expect((await ask([{ ...one, entity_type: 'scene' }])).status).toBe(422);
    expect((await ask([one])).body.results).toMatchObject([{ ...one, valid: true }]);
    expect((await ask(Array.from({ length: 100 }, () => one))).body.results).toHaveLength(100);
    const lost = { entity_type: 'shot', entity_id: '999999' };
    const mixed = [{ entity_type: 'asset', entity_id: Number(asset) }, lost, { ...one, entity_id: 'x' }, one, one];
    expect((await ask(mixed)).body.results).toMatchObject([
      { entity_type: 'asset', entity_id: asset, valid: true, task_count: 0 },
      { ...lost, error: { code: 'not_found' } },
      { entity_id: 'x', error: { code: 'not_found' } },
      { ...one, valid: true, task_count: 1 },
      { ...one, valid: true, task_count: 1 },
    ]);
  });

  it('takes the same few statements for one as for a hundred', async () => {
    const of = await newProject();
    await owner.query(`INSERT INTO shot (project_id, name) SELECT ${of}, 'N' || n FROM generate_series(1, 100) n`);
    await owner.query(
      `INSERT INTO task (project_id, entity_type, entity_id, task_type, initial_status, status)
         SELECT project_id, 'shot', id, t.type, 'todo', 'todo' FROM shot, (VALUES ('comp'), ('layout')) t(type) WHERE project_id = ${of}`,
    );
    await caughtUp();
    const { rows } = await owner.query<{ id: string }>('SELECT id::text AS id FROM shot WHERE project_id = $1', [of]);
    const entities = rows.map(({ id }) => ({ entity_type: 'shot', entity_id: id }));
    // of the connection on which things were validated
    const statements = async (some: object[]) => {
      const asked: string[][] = [];
      const { connect } = server.database;
      server.database.connect = async () => {
        const connection = await connect.call(server.database);
        const { query } = connection;
        const texts: string[] = [];
        asked.push(texts);
        connection.query = ((...args: Parameters<typeof query>) => {
          texts.push(args[0]);
          return query.apply(connection, args);
        }) as typeof query;
        return connection;
      };
      const { body } = await post('validateEntities', '/validate/bulk', { entities: some });
      server.database.connect = connect;
      expect(body.results.every(({ valid }: { valid: boolean }) => valid)).toBe(true);
      return asked.filter((texts) => texts.some((text) => text.includes('AS checked_at'))).map(({ length }) => length);
    };
    const [one, all] = [await statements(entities.slice(0, 1)), await statements(entities)];
    expect(all).toEqual([expect.any(Number)]);
    expect(all[0]).toBeLessThanOrEqual(10);
    expect(one).toEqual(all);
  });
});

describe('a report and health', () => {
  it('of an empty project are zeros, of an unknown one 404', async () => {
    const of = await newProject();
    const { body } = await get('reportConsistency', `/report?project_id=${of}`);
    const none = { shots: 0, assets: 0, valid: 0, invalid: 0, tasks: 0, inconsistencies: 0 };
    expect(body).toMatchObject({ entities: [], summary: { project_id: of, entities: 0, ...none } });
    expect((await get('reportConsistency', '/report?project_id=999999')).status).toBe(404);
    expect((await get('readConsistencyHealth', '/health?project_id=999999')).status).toBe(404);
    expect((await get('readConsistencyHealth', `/health?project_id=${of}`)).body).toMatchObject({
      ...{ status: 'healthy', project_id: of, inconsistent_entities: 0 },
    });
  });

  it('tell what is broken, and after a repair that nothing is', async () => {
    const of = await newProject();
    const tasks = await Promise.all(Array.from({ length: 12 }, () => newTask(of)));
    await make('assets', { project_id: of, name: 'A' });
    const shots = tasks.map(({ shot }) => shot).sort((a, b) => Number(a) - Number(b));
    const health = async () => {
      const { status, body } = await get('readConsistencyHealth', `/health?project_id=${of}`);
      return [status, body.status, body.inconsistent_entities];
    };
    const report = async () => (await get('reportConsistency', `/report?project_id=${of}`)).body;
    await caughtUp();
    expect((await report()).summary).toMatchObject({ entities: 13, shots: 12, assets: 1, valid: 13, tasks: 12 });
    expect(await health()).toEqual([200, 'healthy', 0]);
    await breakShots(...shots.slice(0, 3));
    const { summary, entities } = await report();
    const invalid = entities.filter(({ valid }: { valid: boolean }) => !valid);
    expect(summary).toMatchObject({ entities: 13, valid: 10, invalid: 3, tasks: 12, inconsistencies: 3 });
    expect(summary.by_kind).toEqual({ missing: 0, extra: 0, wrong: 3, duplicate: 0, stale: 0 });
    expect(invalid.map(({ entity_id }: { entity_id: string }) => entity_id)).toEqual(shots.slice(0, 3));
    expect(await health()).toEqual([200, 'degraded', 3]);
    await breakShots(...shots);
    await report();
    expect(await health()).toEqual([503, 'unhealthy', 12]);

    const dry = await post('repairConsistency', '/repair', { project_id: of });
    expect(dry.body).toMatchObject({ dry_run: true, tid: null, remaining: [] });
    expect(dry.body.repaired).toHaveLength(12);
    expect((await report()).summary.invalid).toBe(12);
    const wet = await server.send('POST', `${AT}/repair`, { project_id: of, dry_run: false, reason: 'disk failed' });
    const { body } = await read('repairConsistency', wet);
    expect(body.repaired).toEqual(dry.body.repaired);
    expect(wet.headers.get('tidemark-tid')).toBe(String(body.tid));
    expect(await health()).toEqual([200, 'healthy', 0]);
    expect((await report()).summary).toMatchObject({ valid: 13, invalid: 0 });
    const { changes } = await (await server.ask(`/journal/${body.tid}`)).json();
    expect(changes).toMatchObject([{ resource: 'consistency_repair', comment: 'disk failed', author: 'admin' }]);
    const again = await post('repairConsistency', '/repair', { project_id: of, dry_run: false });
    expect(again.body).toEqual({ dry_run: false, tid: null, repaired: [], remaining: [] });
  });

  it('forget what was found of an entity that is deleted', async () => {
    const of = await newProject();
    const { shot } = await newTask(of);
    await caughtUp();
    await breakShots(shot);
    await get('validateEntity', `/validate/shot/${shot}`);
    const health = async () => (await get('readConsistencyHealth', `/health?project_id=${of}`)).body.status;
    expect(await health()).toBe('degraded');
    await server.ask(`/shots/${shot}`, { method: 'DELETE' });
    await caughtUp();
    expect(await health()).toBe('healthy');
  });

  it('repairs rows that are gone, too many, or there twice, and never a task', async () => {
    const [gone, twice, altered] = [await newTask(), await newTask(), await newTask()];
    await caughtUp();
    await owner.query('ALTER TABLE entity_task_status DROP CONSTRAINT entity_task_status_pkey');
    await bypass(
      `DELETE FROM entity_task_status WHERE entity_id = ${gone.shot}`,
      `INSERT INTO entity_task_status SELECT * FROM entity_task_status WHERE entity_id = ${twice.shot}`,
      `UPDATE task SET status = 'done' WHERE id = ${altered.task}`,
    );
    const entities = [gone, twice, altered].map(({ shot }) => ({ entity_type: 'shot', entity_id: shot }));
    const { body } = await post('repairConsistency', '/repair', { entities, dry_run: false });
    expect(body.repaired.map((one: { inconsistencies: { kind: string }[] }) => one.inconsistencies[0]?.kind)).toEqual([
      ...['missing', 'duplicate'],
    ]);
    expect(body.remaining).toMatchObject([
      { entity_id: altered.shot, inconsistencies: [{ source: 'journal', expected: 'todo', actual: 'done' }] },
    ]);
    await owner.query('ALTER TABLE entity_task_status ADD PRIMARY KEY (entity_type, entity_id)');
    const after = await post('repairConsistency', '/repair', { entities, dry_run: false });
    expect(after.body).toMatchObject({ repaired: [], remaining: [{ entity_id: altered.shot }] });
    await bypass(`UPDATE task SET status = 'todo' WHERE id = ${altered.task}`);
    await caughtUp();
    await post('repairConsistency', '/repair', { entities, dry_run: false });
    for (const wrong of [{}, { entities, project_id: project }, { entities: [] }, { project_id: project, now: true }]) {
      expect([wrong, (await post('repairConsistency', '/repair', wrong)).status]).toEqual([wrong, 422]);
    }
    const lost = { entities: [{ entity_type: 'shot', entity_id: '999999' }] };
    expect((await post('repairConsistency', '/repair', lost)).body.repaired).toEqual([]);
  });
});

describe('a change of a status', () => {
  it('makes one record, whichever way it is made, and none when nothing changes', async () => {
    const { shot, task } = await newTask();
    const record = (old_status: string, new_status: string) => ({
      ...{ task_id: task, entity_type: 'shot', entity_id: shot, old_status, new_status, consistency_valid: true },
      timestamp: expect.stringMatching(/Z$/),
    });
    await server.send('PUT', `/tasks/${task}`, { status: 'wip' });
    await told(task, 1);
    await server.send('PUT', `/tasks/${task}/status`, { status: 'wip' });
    await server.send('PUT', `/tasks/${task}`, { priority: 2 });
    await server.send('PUT', `/tasks/${task}/status`, { status: 'review' });
    await told(task, 2);
    await server.send('PUT', '/tasks/bulk/status', { updates: [{ task_id: task, status: 'done' }] });
    await told(task, 3);
    await owner.query(`UPDATE task SET status = 'retake' WHERE id = ${task}`);
    expect(await told(task, 4)).toEqual([
      record('done', 'retake'),
      record('review', 'done'),
      record('wip', 'review'),
      record('todo', 'wip'),
    ]);
    const asked = await read('propagateTask', await server.send('POST', `${AT}/propagate/${task}`, {}));
    expect(asked.body).toEqual(record('done', 'retake'));
    expect(await propagations(task)).toHaveLength(5);
    const one = await get('listPropagations', `/propagations?task_id=${task}&limit=1`);
    const rest = await get('listPropagations', `/propagations?task_id=${task}&cursor=${one.body.next}`);
    expect([one.body.items.length, rest.body.items.length]).toEqual([1, 4]);
    for (const id of ['999999', 'x']) {
      expect((await read('propagateTask', await server.send('POST', `${AT}/propagate/${id}`, {}))).status).toBe(404);
    }
  });

  it('has one record still when its listener is set back after the ledger has forgotten it', async () => {
    const { task } = await newTask();
    const changed = await server.send('PUT', `/tasks/${task}/status`, { status: 'wip' });
    const tid = Number(changed.headers.get('tidemark-tid'));
    await told(task, 1);
    await owner.query(`DELETE FROM tidemark.effects WHERE listener = $1 AND state = 'done'`, [PROPAGATION]);
    await resetListener(server.database, PROPAGATION, tid - 1);
    const states = async () => {
      const asked = `SELECT state FROM tidemark.effects WHERE listener = $1 AND tid = $2`;
      return (await owner.query<{ state: string }>(asked, [PROPAGATION, tid])).rows.map(({ state }) => state);
    };
    await waitUntil(async () => /done|failed|parked/.test((await states()).join()), 'it is tried again');
    expect([await states(), (await propagations(task)).length]).toEqual([['done'], 1]);
  });

  it('succeeds while validation fails, is pending in health, and is told once that ends', async () => {
    const { shot, task } = await newTask();
    await told((await moved(task)).task, 1);
    await owner.query('ALTER TABLE inconsistent_entity RENAME TO lost');
    try {
      expect((await server.send('PUT', `/tasks/${task}/status`, { status: 'review' })).status).toBe(200);
      await waitUntil(async () => (await failed(task)) > 0, 'the validation has failed');
    } finally {
      await owner.query('ALTER TABLE lost RENAME TO inconsistent_entity');
    }
    const { body } = await get('readConsistencyHealth', `/health?project_id=${project}`);
    expect(body.pending_propagations + (await propagations(task)).length).toBeGreaterThanOrEqual(2);
    const [last] = await told(task, 2);
    expect(last).toMatchObject({ entity_id: shot, old_status: 'wip', new_status: 'review', consistency_valid: true });
  });

  it('tells that what it led to is inconsistent', async () => {
    const { task } = await newTask();
    await server.send('PUT', `${AT}/rules?project_id=${project}`, {
      rules: [{ no: { task_type: 'comp', done_before: 'layout' } }],
    });
    const { entity_id } = await (await server.ask(`/tasks/${task}`)).json();
    await make('tasks', { entity_type: 'shot', entity_id, task_type: 'layout' });
    await server.send('PUT', `/tasks/${task}/status`, { status: 'done' });
    expect(await told(task, 1)).toMatchObject([{ new_status: 'done', consistency_valid: false }]);
    await server.send('PUT', `${AT}/rules?project_id=${project}`, { rules: [] });
  });

  async function moved(task: string) {
    await server.send('PUT', `/tasks/${task}/status`, { status: 'wip' });
    return { task };
  }

  async function failed(task: string): Promise<number> {
    const { rows } = await owner.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM tidemark.effects WHERE listener = 'task-propagation' AND id = $1 AND state = 'failed'`,
      [task],
    );
    return (rows[0] as { n: number }).n;
  }
});

describe('the rules of a project', () => {
  it('are set by more keyed requests at once than there are connections', async () => {
    const of = await newProject();
    const rules = [{ no: { task_type: 'comp', done_before: 'layout' } }];
    const put = (n: number) =>
      server.send('PUT', `${AT}/rules?project_id=${of}`, { rules }, { 'idempotency-key': `rules-${n}` });
    const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => put(n)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  });

  it('are kept, journaled, and changed only as the condition says', async () => {
    const of = await newProject();
    const path = `${AT}/rules?project_id=${of}`;
    expect((await get('getProjectRules', `/rules?project_id=${of}`)).body).toEqual({ project_id: of, rules: [] });
    const rules = [{ no: { task_type: 'comp', entity_type: 'shot', done_before: 'layout' } }];
    const put = (headers?: Record<string, string>) => server.send('PUT', path, { rules }, headers);
    const first = await put({ 'if-none-match': '*' });
    expect((await read('setProjectRules', first)).body).toEqual({ project_id: of, rules });
    expect((await read('setProjectRules', await put({ 'if-none-match': '*' }))).status).toBe(412);
    const unchanged = await server.ask(path, { headers: { 'if-none-match': first.headers.get('etag') as string } });
    expect(unchanged.status).toBe(304);
    const same = await put({ 'if-match': first.headers.get('etag') as string });
    expect([same.status, same.headers.has('tidemark-tid')]).toEqual([200, false]);
    await server.send('PUT', path, { rules: [] });
    expect((await put({ 'if-match': first.headers.get('etag') as string })).status).toBe(412);
    expect((await server.ask(`/projects/${of}`, { method: 'DELETE' })).status).toBe(200);
    expect((await get('getProjectRules', `/rules?project_id=${of}`)).status).toBe(404);
  });

  it.each([
    [{}, 'rules'],
    [{ rules: [{ no: { task_type: 'comp' } }] }, 'rules.0.no'],
    [{ rules: [{ no: { task_type: 'comp', done_before: 'layout', begun_before: 'rig' } }] }, 'rules.0.no'],
    [{ rules: [{ yes: { task_type: 'comp', done_before: 'layout' } }] }, 'rules.0.no'],
    [{ rules: [{ no: { task_type: 'comp', done_before: 'lost' } }] }, 'rules.0.no.done_before'],
    [{ rules: [{ no: { task_type: 'comp', done_before: 'layout' } }], more: 1 }, 'more'],
  ])('%j is refused by %s', async (body, at) => {
    const answer = await read('setProjectRules', await server.send('PUT', `${AT}/rules?project_id=${project}`, body));
    expect([answer.status, answer.body.errors.map(({ path }: { path: string }) => path)]).toEqual([
      422,
      expect.arrayContaining([at]),
    ]);
  });
});

it('only admins and the coordinators of a project may', async () => {
  const [own, other] = [await newTask(await newProject()), await newTask(await newProject())];
  const projectOf = async ({ task }: { task: string }) =>
    (await (await server.ask(`/tasks/${task}`)).json()).project_id;
  const [mine, theirs] = [await projectOf(own), await projectOf(other)];
  await addUser(owner, { name: 'cora' });
  await grantRole(owner, { user: 'cora', role: 'coordinator', project: mine });
  const bearer = async (options: Parameters<typeof createToken>[1]) => (await createToken(owner, options)).token;
  const cora = await bearer({ user: 'cora', roles: ['coordinator'] });
  const artist = await bearer({ user: 'artist', roles: ['editor'] });
  await caughtUp();
  const paths = (shot: string, of: string): [string, string, object?][] => [
    ['GET', `/validate/shot/${shot}`],
    ['GET', `/report?project_id=${of}`],
    ['GET', `/health?project_id=${of}`],
    ['GET', `/propagations?project_id=${of}`],
    ['GET', `/rules?project_id=${of}`],
    ['PUT', `/rules?project_id=${of}`, { rules: [] }],
    ['POST', '/repair', { project_id: of }],
    ['POST', '/repair', { entities: [{ entity_type: 'shot', entity_id: shot }] }],
    ['POST', `/propagate/${shot === own.shot ? own.task : other.task}`, {}],
  ];
  const statuses = async (token: string | undefined, asked: [string, string, object?][]) => {
    const found: number[] = [];
    for (const [method, path, body] of asked) {
      const headers = {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body && { 'content-type': 'application/json' }),
      };
      const answer = await fetch(server.url + AT + path, {
        method,
        headers,
        ...(body && { body: JSON.stringify(body) }),
      });
      found.push(answer.status);
    }
    return [...new Set(found)];
  };
  expect(await statuses(undefined, paths(own.shot, mine))).toEqual([401]);
  expect(await statuses(artist, paths(own.shot, mine))).toEqual([403]);
  expect(await statuses(cora, paths(own.shot, mine))).toEqual([200]);
  expect(await statuses(cora, paths(other.shot, theirs))).toEqual([403]);
  const as = { headers: { authorization: `Bearer ${cora}` } };
  const { entities } = await (await server.ask(`${AT}/report`, as)).json();
  expect(entities.map(({ entity_id }: { entity_id: string }) => entity_id)).toEqual([own.shot]);
  const bulk = await server.send(
    'POST',
    `${AT}/validate/bulk`,
    { entities: [other, own].map(({ shot }) => ({ entity_type: 'shot', entity_id: shot })) },
    as.headers,
  );
  expect((await bulk.json()).results).toMatchObject([{ error: { code: 'forbidden' } }, { valid: true }]);
});
