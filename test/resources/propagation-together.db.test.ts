import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Database } from '#libs/database';
import type { Effect } from '#libs/effects';
import { readEntries } from '#libs/journal';
import { propagationListener } from '#libs/resources';
import { type ProductionFixture, productionFixture } from './production-fixture.ts';

let f: ProductionFixture;

beforeAll(async () => {
  f = await productionFixture();
});
afterAll(() => f?.close());

test('changes that are validated together do not ask one by one for connections that there are none of', async () => {
  const tasks = [];
  for (let n = 0; n < 10; n++) tasks.push(await f.fresh());
  const { rows } = await f.owner.query<{ head: number }>('SELECT head FROM tidemark.frontier()');
  for (const task of tasks) await f.change(task, { status: 'wip' });
  const entries = await readEntries(f.database, { after: { tid: rows[0]?.head ?? 0 }, limit: 100, resource: 'task' });
  expect(entries).toHaveLength(10);
  const dead = Database.open({ url: 'postgres://nobody@127.0.0.1:1/nowhere' });
  let asked = 0;
  const database = {
    query: f.database.query.bind(f.database) as Database['query'],
    connect: () => {
      asked += 1;
      return dead.connect();
    },
  };
  const { onPrimary } = propagationListener({
    validating: { database, rules: f.kernel.rules },
    waitFor: async () => undefined,
  });
  const outcomes = await Promise.allSettled(entries.map((entry) => onPrimary?.(entry, {} as Effect)));
  expect(outcomes.map(({ status }) => status)).toEqual(Array(10).fill('rejected'));
  // the first one alone, and those that came meanwhile together
  expect(asked).toBe(2);
  await dead.close();
});
