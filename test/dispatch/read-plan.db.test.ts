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

test('a plan that is kept from reads of nothing does not compare each entry with all values', async () => {
  await h.owner.query('VACUUM (ANALYZE)');
  for (const connection of [new OwnConnection(() => h.app.listenClient()), await h.app.connect()]) {
    for (const resource of [undefined, 'item']) {
      const page = { after: { tid: 1_000_000 }, limit: 1, ...(resource !== undefined && { resource }) };
      for (let n = 0; n < 10; n++) await readPage(connection, page);
    }
    for (const read of ['tidemark_read (0, 9, 9, 9)', `tidemark_read_one (0, 9, 9, 9, 'item')`]) {
      const { rows } = await connection.query<{ 'QUERY PLAN': string }>(`EXPLAIN EXECUTE ${read}`);
      const joins = rows.map((row) => row['QUERY PLAN']).filter((line) => /Join|Nested Loop/.test(line));
      expect(joins.join('\n')).toMatch(/Full Join/);
      expect(joins.join('\n')).not.toMatch(/Nested Loop/);
    }
    if (connection instanceof OwnConnection) connection.close();
    else connection.release();
  }
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
