import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database, type Queryable } from '#libs/database';
import { COUNTED, LATEST, listEffects, listListeners } from '#libs/effects';
import { readingOf } from '../support/plan.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

let test: TestDatabase;
let owner: Database;

// Two listeners, each with more effects of each state than anybody wants to count.
beforeAll(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl, poolSize: 1 });
  await owner.query(
    `INSERT INTO tidemark.listener_positions (listener, tid) VALUES ('busy', 0), ('idle', 90000), ('other', 90000)`,
  );
  await owner.query(
    `INSERT INTO tidemark.effects (listener, tid, resource, id, state, due, finished, last_error)
       SELECT l, n, 'wiki', '1', state, now() - n * interval '1 s', CASE WHEN state = 'done' THEN now() END, CASE WHEN n = 24000 THEN 'no' END
         FROM unnest('{busy,other}'::text[]) l, generate_series(1, 60000) n,
           LATERAL (SELECT CASE WHEN n <= 12000 THEN 'pending' WHEN n <= 24000 THEN 'parked' ELSE 'done' END AS state) s`,
  );
  await owner.query(`ANALYZE tidemark.effects`);
});
afterAll(async () => {
  await owner.close();
  await test.drop();
});

const mostRead = async (run: (db: Queryable) => Promise<unknown>) => (await readingOf(owner, run)).most;

it('how listeners stand is counted up to a limit, and nothing is read beyond it', async () => {
  const [busy, idle] = await listListeners(owner);
  expect(busy).toMatchObject({
    listener: 'busy',
    pending: COUNTED,
    failed: 0,
    parked: COUNTED,
    done: LATEST,
    last_error: 'no',
  });
  expect(busy?.waiting_ms).toBeGreaterThan(12_000_000 - 1);
  expect(idle).toMatchObject({ listener: 'idle', pending: 0, parked: 0, done: 0, waiting_ms: 0, last_error: null });
  expect(await mostRead(listListeners)).toBeLessThanOrEqual(COUNTED);
});

it.each([
  ['all', {}],
  ['those of a listener', { listener: 'busy' }],
  ['those of a tid', { tid: 40_000 }],
  ['parked ones', { state: 'parked' }],
  ['a later page', { after: { listener: 'busy', tid: 40_000, resource: 'wiki', id: '1' } }],
] as const)('a page of %s is read by index', async (_, filter) => {
  expect((await listEffects(owner, { ...filter, limit: 20 })).length).toBeGreaterThan(0);
  expect(await mostRead((db) => listEffects(db, { ...filter, limit: 20 }))).toBeLessThanOrEqual(100);
});
