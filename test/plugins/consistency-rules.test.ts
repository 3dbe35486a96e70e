import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { VOCABULARY } from '../resources/production-fixture.ts';
import { repositoryRoot } from '../support/repository-root.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { pluginFolder, removeFolder, type ServedPlugins, servePlugins } from './plugin-process.ts';

// A module is strict, and a script in CommonJS is not: there a change of what is frozen is passed over.
const sloppy = `
  const { definePlugin } = require('tidemark');
  const judge = (entity, tasks) => {
    entity.entity_id = '0';
    tasks.length = 0;
    for (const task of tasks) { task.status = 'omit'; task.due_date = '2000-01-01'; task.assignees.length = 0; }
    return [];
  };
  module.exports = definePlugin({ name: 'sloppy', consistencyRules: [{ name: 'changing', judge }] });`;

const hostile = `
  import { definePlugin } from 'tidemark';
  const wild = (tasks) => tasks.some(({ name }) => name === 'wild');
  class Counting {
    name = 'counting';
    #most = 2;
    judge(entity, tasks) {
      return tasks.length > this.#most ? [{ field: 'tasks', actual: tasks.map(({ id }) => id) }] : [];
    }
  }
  export default definePlugin({
    name: 'hostile',
    consistencyRules: [
      { name: 'throwing', judge: (_, tasks) => { if (wild(tasks)) throw new Error('no coffee'); return []; } },
      { name: 'garbage', judge: (_, tasks) => (wild(tasks) ? [{ wrong: true }] : []) },
      { name: 'late', judge: (_, tasks) => (wild(tasks) ? Promise.reject(new Error('later')) : []) },
      { name: 'changing', judge: (_, tasks) => { if (wild(tasks)) tasks[0].status = 'done'; return []; } },
      new Counting(),
    ],
  });`;

interface Inconsistency {
  readonly field: string;
  readonly actual: unknown;
}

let test: TestDatabase;
let owner: Database;
let folder: string;
let server: ServedPlugins;
let project: string;
let made = 0;

beforeAll(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl, poolSize: 2 });
  await owner.query(VOCABULARY);
  const dueDates = readFileSync(join(repositoryRoot(), 'test/plugins/due-dates/plugin.ts'), 'utf8');
  folder = pluginFolder({ 'sloppy.cjs': sloppy, 'hostile.mjs': hostile, 'due-dates.ts': dueDates });
  server = await servePlugins(folder, {
    DATABASE_URL: test.url,
    TIDEMARK_PLUGINS: './sloppy.cjs,./hostile.mjs,./due-dates.ts',
  });
  project = await make('projects', { name: 'Big' });
});
afterAll(async () => {
  await server?.stop();
  await owner?.close();
  await test?.drop();
  if (folder) removeFolder(folder);
});

async function make(path: string, fields: object): Promise<string> {
  const { status, body } = await server.ask('POST', `/${path}`, fields);
  expect([status, body]).toEqual([201, expect.anything()]);
  return (body as { id: string }).id;
}

/** A shot of its own with tasks, by their names. */
async function shotWith(...names: string[]): Promise<{ shot: string; tasks: string[] }> {
  made += 1;
  const shot = await make('shots', { project_id: project, name: `S${made}` });
  const tasks: string[] = [];
  for (const name of names) {
    tasks.push(await make('tasks', { entity_type: 'shot', entity_id: shot, task_type: 'comp', name }));
  }
  return { shot, tasks };
}

// biome-ignore lint/suspicious/noExplicitAny: a test states by its expectations what is in it
const at = async (method: string, path: string, body?: unknown): Promise<any> =>
  (await server.ask(method, `/data-consistency${path}`, body)).body;
const validate = (shot: string) => at('GET', `/validate/shot/${shot}`);
const start = (task: string) => server.ask('PUT', `/tasks/${task}/status`, { status: 'wip' });

it('shows in validations, reports, propagations and health, as the rules of projects do', async () => {
  const { shot, tasks } = await shotWith('a');
  const [task] = tasks as [string];
  expect((await validate(shot)).inconsistencies).toEqual([]);
  await start(task);
  const broken = {
    ...{ kind: 'wrong', field: `tasks.${task}.due_date`, source: 'rule', actual: null },
    expected: 'studio.due-date: what is at work has a due date',
  };
  expect(await validate(shot)).toMatchObject({ valid: false, inconsistencies: [broken], task_count: 1 });
  const entities = [{ entity_type: 'shot', entity_id: shot }];
  expect((await at('POST', '/validate/bulk', { entities })).results).toMatchObject([{ inconsistencies: [broken] }]);
  const { entities: reported, summary } = await at('GET', `/report?project_id=${project}`);
  expect([reported[0].inconsistencies, summary.by_kind.wrong]).toEqual([[broken], 1]);
  const told = async () => (await at('GET', `/propagations?task_id=${task}`)).items;
  await waitUntil(async () => (await told()).length === 1, 'the change is told of');
  expect(await told()).toMatchObject([{ new_status: 'wip', consistency_valid: false }]);
  expect(await at('POST', `/propagate/${task}`, {})).toMatchObject({ consistency_valid: false });
  expect(await at('POST', '/repair', { project_id: project })).toMatchObject({
    repaired: [],
    remaining: [{ entity_id: shot, inconsistencies: [broken] }],
  });
  expect(await at('GET', '/health')).toMatchObject({ status: 'degraded', inconsistent_entities: 1 });

  await server.ask('PUT', `/tasks/${task}`, { due_date: '2030-01-01' });
  expect(await validate(shot)).toMatchObject({ valid: true, inconsistencies: [] });
  expect(await at('GET', '/health')).toMatchObject({ status: 'healthy', inconsistent_entities: 0 });
});

it('that throws, gives nonsense or changes what it is given is told by its name, and harms no other verdict', async () => {
  const [tame, wild] = [await shotWith('a', 'b', 'c'), await shotWith('wild', 'b', 'c')];
  await start(wild.tasks[0] as string);
  const failed = (rule: string, actual: unknown) => ({
    ...{ kind: 'wrong', source: 'rule', field: `rules.hostile.${rule}` },
    ...{ expected: 'a list of { field, actual }', actual },
  });
  const { results } = await at('POST', '/validate/bulk', {
    entities: [tame, wild].map(({ shot }) => ({ entity_type: 'shot', entity_id: shot })),
  });
  const counted = ({ tasks }: { tasks: string[] }) => ({
    ...{ kind: 'wrong', source: 'rule', field: 'tasks', expected: 'hostile.counting', actual: tasks },
  });
  expect(results[0].inconsistencies).toEqual([counted(tame)]);
  expect(results[1].inconsistencies).toEqual([
    failed('throwing', 'it threw: no coffee'),
    failed('garbage', 'it returned a violation whose field is no text of 1 to 200 characters'),
    failed('late', 'it returned a promise'),
    failed('changing', expect.stringContaining('read only')),
    counted(wild),
    expect.objectContaining({ field: `tasks.${wild.tasks[0]}.due_date` }),
  ]);
  await at('GET', `/report?project_id=${project}`);
  expect((await validate(wild.shot)).inconsistencies.map(({ field }: Inconsistency) => field)).toHaveLength(6);
  const lines = server.stdout().split('\n');
  expect(lines.filter((line) => line.includes('a rule has failed') && line.includes('hostile.throwing'))).toHaveLength(
    1,
  );
});
