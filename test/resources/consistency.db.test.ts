import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  changeTask,
  type Inconsistency,
  isDamaged,
  projectRules,
  recordKinds,
  reportConsistency,
  setRules,
  type Task,
  type Validation,
  validateEntities,
} from '#libs/resources';
import { pastTriggers } from '../support/past-triggers.ts';
import { joe, type ProductionFixture, productionFixture } from './production-fixture.ts';

let f: ProductionFixture;
let made = 0;
let shot: string;
let comp: Task;
let layout: Task;

beforeAll(async () => {
  f = await productionFixture();
});
afterAll(() => f?.close());

beforeEach(async () => {
  made += 1;
  shot = (await f.make(recordKinds.shot, { project_id: f.project, name: `C${made}` })).id;
  layout = await f.task({ entity_id: shot, task_type: 'layout' });
  comp = await f.task({ entity_id: shot, task_type: 'comp' });
  await f.caughtUp();
});

const bypass = (...statements: string[]) =>
  pastTriggers({ owner: f.owner, tables: ['task', 'task_journal', 'task_history'] }, ...statements);

async function validate(id = shot): Promise<Validation> {
  const [one] = await validateEntities(f.kernel, [{ entity_type: 'shot', entity_id: id }], { patience: 0 });
  return (one as { validation: Validation }).validation;
}

async function found(): Promise<Pick<Inconsistency, 'kind' | 'field' | 'source'>[]> {
  return (await validate()).inconsistencies.map(({ kind, field, source }) => ({ kind, field, source }));
}

const row = () => `entity_type = 'shot' AND entity_id = ${shot}`;
const set = (sql: string) => `UPDATE entity_task_status SET ${sql} WHERE ${row()}`;
const projection = 'projection';

describe('what disagrees is named', () => {
  it('nothing, where nothing does', async () => {
    const { valid, task_count, projection_tid, head_tid } = await validate();
    expect([valid, task_count, projection_tid <= head_tid]).toEqual([true, 2, true]);
  });

  it('a row that is gone, and one of an entity without tasks', async () => {
    await bypass(`DELETE FROM entity_task_status WHERE ${row()}`);
    expect(await found()).toEqual([{ kind: 'missing', field: 'entity_task_status', source: projection }]);
    const empty = (await f.make(recordKinds.shot, { project_id: f.project, name: `E${made}` })).id;
    await bypass(`INSERT INTO entity_task_status VALUES ('shot', ${empty}, '{}', '[]')`);
    expect((await validate(empty)).inconsistencies).toMatchObject([{ kind: 'extra', field: 'entity_task_status' }]);
  });

  it('a status that is wrong, missing, or of no task', async () => {
    await bypass(set(`task_status = '{"comp": "done", "rig": "wip"}'`));
    expect((await validate()).inconsistencies).toEqual([
      { kind: 'missing', field: 'task_status.layout', expected: 'todo', actual: null, source: projection },
      { kind: 'wrong', field: 'task_status.comp', expected: 'todo', actual: 'done', source: projection },
      { kind: 'extra', field: 'task_status.rig', expected: null, actual: 'wip', source: projection },
    ]);
  });

  it('a detail that is wrong, missing, listed twice, of no task, or out of order', async () => {
    const at = `task_details.${comp.id}`;
    await bypass(set(`task_details = jsonb_set(task_details, '{1,priority}', '3')`));
    expect((await validate()).inconsistencies).toEqual([
      { kind: 'wrong', field: `${at}.priority`, expected: 0, actual: 3, source: projection },
    ]);
    await bypass(set(`task_details = jsonb_build_array(task_details -> 0)`));
    expect(await found()).toEqual([{ kind: 'missing', field: at, source: projection }]);
    await bypass(set(`task_details = task_details || task_details || '{"id": "999999"}'`));
    expect(await found()).toEqual([
      { kind: 'duplicate', field: `task_details.${layout.id}`, source: projection },
      { kind: 'missing', field: at, source: projection },
      { kind: 'extra', field: 'task_details.999999', source: projection },
    ]);
    await bypass(set(`task_details = '"nonsense"'`));
    expect((await found()).map(({ kind }) => kind)).toEqual(['missing', 'missing']);
  });

  it('details that are out of order', async () => {
    await bypass(set('task_details = jsonb_build_array(task_details -> 1, task_details -> 0)'));
    expect((await validate()).inconsistencies).toEqual([
      ...[{ kind: 'wrong', field: 'task_details', expected: [layout.id, comp.id], actual: [comp.id, layout.id] }].map(
        (one) => ({ ...one, source: projection }),
      ),
    ]);
  });

  it('a row that is there twice', async () => {
    await f.owner.query('ALTER TABLE entity_task_status DROP CONSTRAINT entity_task_status_pkey');
    try {
      await bypass(`INSERT INTO entity_task_status SELECT * FROM entity_task_status WHERE ${row()}`);
      expect(await found()).toEqual([{ kind: 'duplicate', field: 'entity_task_status', source: projection }]);
    } finally {
      await bypass(`DELETE FROM entity_task_status WHERE ${row()}`);
      await f.owner.query('ALTER TABLE entity_task_status ADD PRIMARY KEY (entity_type, entity_id)');
    }
  });

  it('a task that was changed behind its journal, or is unknown to it', async () => {
    await bypass(`UPDATE task SET status = 'done' WHERE id = ${comp.id}`);
    const altered = { field: `tasks.${comp.id}.status`, expected: 'todo', source: 'journal' };
    expect((await validate()).inconsistencies).toEqual([{ kind: 'wrong', actual: 'done', ...altered }]);
    await bypass(`DELETE FROM task WHERE id = ${comp.id}`);
    await bypass(`DELETE FROM task_journal WHERE id = '${layout.id}'`);
    expect((await validate()).inconsistencies).toEqual([
      { kind: 'extra', field: `tasks.${layout.id}.status`, expected: null, actual: 'todo', source: 'journal' },
      { kind: 'missing', actual: null, ...altered },
    ]);
  });

  it('a status of which the journal has lost everything', async () => {
    await bypass(`DELETE FROM task_history WHERE id = '${comp.id}' AND field = 'status'`);
    expect((await validate()).inconsistencies).toEqual([
      { kind: 'wrong', field: `tasks.${comp.id}.status`, expected: null, actual: 'todo', source: 'journal' },
    ]);
  });

  it('beside a task that was changed behind its journal, what that does not explain', async () => {
    await bypass(`UPDATE task SET status = 'done' WHERE id = ${comp.id}`, set(`task_status = '{"comp": "wip"}'`));
    expect((await found()).map(({ kind, field }) => `${kind} ${field}`)).toEqual([
      'missing task_status.layout',
      'wrong task_status.comp',
      `wrong tasks.${comp.id}.status`,
    ]);
  });

  it('a task that is shown of an entity which never had it, though there is such a task', async () => {
    const { id: other } = await f.fresh();
    await bypass(set(`task_details = task_details || '{"id": "${other}"}'`));
    expect(await found()).toEqual([{ kind: 'extra', field: `task_details.${other}`, source: projection }]);
  });

  it('a rule that is broken, and no other', async () => {
    await setRules(f.kernel, joe, f.project, [{ no: { task_type: 'comp', done_before: 'layout' } }]);
    await f.change(comp, { status: 'wip' });
    await f.caughtUp();
    expect(await found()).toEqual([]);
    await f.change(comp, { status: 'done' });
    await f.caughtUp();
    expect(await found()).toEqual([{ kind: 'wrong', field: `tasks.${comp.id}.status`, source: 'rule' }]);
    const begun = await setRules(f.kernel, joe, f.project, [
      { no: { task_type: 'comp', entity_type: 'asset', begun_before: 'layout' } },
    ]);
    expect(begun.tid).not.toBeNull();
    expect((await setRules(f.kernel, joe, f.project, begun.kept.rules)).tid).toBeNull();
    expect(await found()).toEqual([]);
    await setRules(f.kernel, joe, f.project, [{ no: { task_type: 'comp', begun_before: 'layout' } }]);
    expect(await found()).toHaveLength(1);
    await f.change(layout, { status: 'omit' });
    await f.caughtUp();
    expect(await found()).toEqual([]);
    const { rows } = await f.database.query('SELECT count(*)::int AS n FROM tidemark.journal WHERE resource = $1', [
      projectRules.name,
    ]);
    expect(rows).toEqual([{ n: 3 }]);
    await setRules(f.kernel, joe, f.project, []);
  });
});

describe('changes under way', () => {
  it('make differences stale while the projection is held up, and none afterwards', async () => {
    const holder = await f.owner.connect();
    await holder.query('BEGIN');
    await holder.query(`SELECT FROM tidemark.projections WHERE name = 'entity_task_status' FOR UPDATE`);
    try {
      await changeTask(f.kernel, joe, comp.id, { status: 'wip' });
      const held = await validate();
      expect([...new Set(held.inconsistencies.map(({ kind }) => kind))]).toEqual(['stale']);
      expect([held.valid, isDamaged(held), held.head_tid > held.projection_tid]).toEqual([false, false, true]);
    } finally {
      await holder.query('ROLLBACK');
      holder.release();
    }
    await f.caughtUp();
    expect(await found()).toEqual([]);
    expect((await f.database.query('SELECT FROM inconsistent_entity WHERE entity_id = $1', [shot])).rows).toEqual([]);
  });

  it('are never found to be damage, however they coincide with validations', async () => {
    const statuses = ['wip', 'todo'];
    let writes = true;
    const writing = (async () => {
      for (let n = 0; writes; n++) await changeTask(f.kernel, joe, comp.id, { status: statuses[n % 2] as string });
    })();
    for (let n = 0; n < 60; n++) expect(isDamaged(await validate())).toBe(false);
    writes = false;
    await writing;
    await f.caughtUp();
    expect((await validate()).valid).toBe(true);
  });
});

it('a report tells each entity once, also those of which only the projection knows', async () => {
  await bypass(`INSERT INTO entity_task_status VALUES ('asset', 999999, '{}', '[]'), ('shot', 999999, '{}', '[]')`);
  await f.owner.query(
    `INSERT INTO asset (project_id, name) SELECT ${f.project}, 'A' || n FROM generate_series(1, 1203) n`,
  );
  const all = { kind: 'all but', projects: [] } as const;
  const told: Validation[] = [];
  for await (const page of reportConsistency(f.kernel, { readable: all })) told.push(...page);
  const { rows } = await f.database.query<{ key: string }>(
    `SELECT entity_type || entity_id AS key FROM (SELECT 'asset' AS entity_type, id AS entity_id FROM asset UNION ALL
       SELECT 'shot', id FROM shot UNION ALL VALUES ('asset', 999999), ('shot', 999999)) e`,
  );
  expect(told.map(({ entity_type, entity_id }) => entity_type + entity_id).sort()).toEqual(
    rows.map(({ key }) => key).sort(),
  );
  expect(told.filter(({ entity_id }) => entity_id === '999999').map(({ valid }) => valid)).toEqual([false, false]);
  await bypass('DELETE FROM entity_task_status WHERE entity_id = 999999');
  const none = reportConsistency(f.kernel, { readable: { kind: 'only', projects: [] } });
  expect((await none.next()).done).toBe(true);
});
