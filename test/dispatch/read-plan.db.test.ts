import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readPage } from '#libs/journal';
import { OwnConnection } from '../../libs/dispatch/own-connection.ts';
import { readingOf } from '../support/plan.ts';
import { type Harness, harness } from './harness.ts';

const MANY = 5_000;

let h: Harness;

beforeAll(async () => {
  h = await harness();
});

afterAll(() => h.close());

test('a tail that began on an empty journal does not come to scan what has been written since', async () => {
  // as empty as they look to the planner from here on
  await h.owner.query('VACUUM (ANALYZE)');
  const connection = new OwnConnection(() => h.app.listenClient());
  const page = { after: { tid: 0 }, limit: 100 };
  for (let n = 0; n < 10; n++) await readPage(connection, page);
  await h.owner.query(`DO $$ BEGIN FOR n IN 1..2000 LOOP INSERT INTO item VALUES (n, 'x'); END LOOP; END $$`);
  const { rows } = await connection.query<{ 'QUERY PLAN': string }>(
    'EXPLAIN EXECUTE tidemark_read (0, 1000000, 100, 1000000)',
  );
  const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
  expect(plan).toMatch(/Index .*Scan using item_journal_pkey/);
  expect(plan).not.toMatch(/Seq Scan/);
  connection.close();
});

test('a page inside a large tid reads its own rows, and none of those before and after it', async () => {
  const tid = await h.change(`INSERT INTO item SELECT n, 'one of many' FROM generate_series(10001, 10000 + ${MANY}) n`);
  await h.owner.query('ANALYZE');
  const after = { tid, resource: 'item', id: String(10_000 + MANY / 2) };
  const reading = await readingOf(h.app, (db) => readPage(db, { after, upto: tid, limit: 100 }));
  expect(reading.most).toBeLessThanOrEqual(300);
  expect(reading.whole).not.toContain('item_journal');
  expect(reading.whole).not.toContain('item_history');
});
