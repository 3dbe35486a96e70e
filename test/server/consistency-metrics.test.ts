import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { VOCABULARY } from '../resources/production-fixture.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { parseExposition } from './exposition.ts';
import { type TestServer, testServer } from './server-fixture.ts';

let database: TestDatabase;
let owner: Database;
let server: TestServer;

const broken = () => Promise.reject(new Error('no coffee'));

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 2 });
  await owner.query(VOCABULARY);
  server = await testServer(
    database.url,
    {},
    {
      checkRowsPerSecond: 1_000_000,
      checks: [
        { name: 'three', resource: 'shot', find: async () => ({ found: [], rows: 3, next: null }) },
        { name: 'broken', resource: 'shot', find: broken },
      ],
    },
  );
});
afterAll(async () => {
  await server?.close();
  await owner?.close();
  await database?.drop();
});

async function scrape(): Promise<(series: string) => number | undefined> {
  const families = parseExposition(await (await fetch(`${server.url}/metrics`)).text());
  return (series) => families.get(series.replace(/(_count|_sum|_bucket)?\{.*/, ''))?.samples.get(series);
}

const validations = async () => {
  const told = await scrape();
  return Object.fromEntries(
    ['request', 'report', 'propagation'].map((by) => [
      by,
      told(`tidemark_validation_duration_seconds_count{asked_by="${by}"}`) ?? 0,
    ]),
  );
};

async function make(path: string, fields: object): Promise<string> {
  const answer = await server.send('POST', `/${path}`, fields);
  expect([answer.status, fields]).toEqual([201, fields]);
  return (await answer.json()).id;
}

it('validations are told by what asked for them, with their time', async () => {
  const project = await make('projects', { name: 'Big' });
  const shot = await make('shots', { project_id: project, name: 'S' });
  const task = await make('tasks', { entity_type: 'shot', entity_id: shot, task_type: 'comp' });
  expect(await validations()).toEqual({ request: 0, report: 0, propagation: 0 });
  const at = '/data-consistency';
  const entities = [{ entity_type: 'shot', entity_id: shot }];
  await server.ask(`${at}/validate/shot/${shot}`);
  await server.send('POST', `${at}/validate/bulk`, { entities: Array(50).fill(entities[0]) });
  await server.send('POST', `${at}/repair`, { entities });
  await server.send('POST', `${at}/propagate/${task}`, {});
  expect(await validations()).toEqual({ request: 4, report: 0, propagation: 0 });
  await (await server.ask(`${at}/report?project_id=${project}`)).text();
  await server.send('POST', `${at}/repair`, { project_id: project });
  expect(await validations()).toEqual({ request: 4, report: 2, propagation: 0 });
  await server.ask(`${at}/validate/scene/1`);
  await server.ask(`${at}/health`);
  await server.send('PUT', `/tasks/${task}/status`, { status: 'wip' });
  await waitUntil(async () => (await validations())['propagation'] === 1, 'the change is validated');
  expect(await validations()).toEqual({ request: 4, report: 2, propagation: 1 });
  const told = await scrape();
  const spent = told('tidemark_validation_duration_seconds_sum{asked_by="request"}') as number;
  expect(spent).toBeGreaterThan(0);
  expect(spent).toBeLessThan(30);
});

it('checks are told by what this process has looked at, and how often in vain', async () => {
  const of = (told: (series: string) => number | undefined, check: string) =>
    ['looks', 'rows', 'failures'].map((what) => told(`tidemark_check_${what}_total{check="${check}"}`));
  await waitUntil(async () => {
    const told = await scrape();
    return (of(told, 'three')[0] as number) >= 2 && (of(told, 'broken')[2] as number) >= 2;
  }, 'each was looked at twice');
  const told = await scrape();
  const [looks, rows, failures] = of(told, 'three') as [number, number, number];
  expect([rows, failures]).toEqual([3 * looks, 0]);
  expect(of(told, 'broken').slice(0, 2)).toEqual([0, 0]);
  expect(of(told, 'drift')[1]).toBeGreaterThan(0);
});
