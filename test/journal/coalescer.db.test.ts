import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { Coalescer, type Committed, defineResource, ModelTransaction } from '#libs/journal';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

interface Page {
  id: number;
  name: string;
  hits: number;
  lot: number;
}

const page = defineResource<Page>({ name: 'page' });
let test: TestDatabase;
let database: Database;
let other: Database;
let owner: Database;
let coalescer: Coalescer;

beforeAll(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl });
  await owner.query(`
    CREATE TABLE page (id bigint PRIMARY KEY, name text NOT NULL UNIQUE, hits int NOT NULL DEFAULT 0,
      lot int NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED);
    SELECT tidemark.journal_table('page', row_version => true);
    INSERT INTO page SELECT n, 'page ' || n, 0, n FROM generate_series(1, 200) n;
    GRANT SELECT, INSERT, UPDATE, DELETE ON page TO tidemark_app`);
  database = Database.open({ url: test.url });
  other = Database.open({ url: test.url });
  coalescer = new Coalescer(database);
});

afterAll(async () => {
  await Promise.all([database.close(), other.close(), owner.close()]);
  await test.drop();
});

function save(
  id: number,
  values: Partial<Page>,
  options: { author?: string; ifVersion?: number; by?: Coalescer } = {},
) {
  const { author = 'joe', ifVersion, by = coalescer } = options;
  const tx = new ModelTransaction({ database, origin: '7d0c5d57-97a1-4cc5-8a37-0d3a8f0a3c11', coalescer: by });
  tx.prepare({ author }).save(page, id, values, ifVersion === undefined ? {} : { ifVersion });
  return tx.commit();
}

/** The database transactions that wrote these tids: how many there were. */
async function commits(tids: (number | null)[]): Promise<number> {
  const { rows } = await owner.query<{ n: number }>(
    'SELECT count(DISTINCT xmin::text)::int AS n FROM page_journal WHERE tid = ANY ($1)',
    [tids],
  );
  return rows[0]?.n ?? 0;
}

it('lone changes at the same time share commits, and keep their author, tid and txn', async () => {
  const ids = Array.from({ length: 60 }, (_, n) => n + 1);
  const committed = await Promise.all(ids.map((id) => save(id, { hits: id }, { author: `author ${id}` })));
  const tids = committed.map(({ tid }) => tid);
  expect(new Set(tids).size).toBe(60);
  expect(committed.every(({ changes }) => changes === 1)).toBe(true);
  expect(await commits(tids)).toBeLessThan(10);
  const { rows } = await owner.query<{ tid: number; id: string; author: string; txn: number }>(
    'SELECT tid, id, author, txn FROM page_journal WHERE tid = ANY ($1)',
    [tids],
  );
  expect(rows).toHaveLength(60);
  for (const row of rows) {
    expect(row).toEqual({
      tid: committed[Number(row.id) - 1]?.tid,
      id: row.id,
      author: `author ${row.id}`,
      txn: row.tid,
    });
  }
});

it('what changes nothing has no tid, whoever is in its company', async () => {
  const [first, second, third] = await Promise.all([save(1, { hits: 7 }), save(2, { hits: 2 }), save(3, { hits: 9 })]);
  expect(second).toEqual({ tid: null, changes: 0 });
  expect(first.tid).not.toBeNull();
  expect(third.tid).not.toBeNull();
});

it('one that fails fails alone: a missing row, a stale version, a name that is taken, a rule checked at commit', async () => {
  const good = [11, 12, 13, 14, 15].map((id) => save(id, { hits: 100 }));
  const bad = [
    save(9_999, { hits: 1 }),
    save(16, { hits: 1 }, { ifVersion: 77 }),
    save(17, { name: 'page 18' }),
    save(19, { lot: 20 }),
  ];
  const more = [21, 22, 23].map((id) => save(id, { hits: 100 }));
  const outcomes = await Promise.allSettled(bad);
  expect(outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'done'))).toEqual([
    'not_found',
    'stale',
    'conflict',
    'conflict',
  ]);
  for (const { tid, changes } of await Promise.all([...good, ...more]))
    expect([typeof tid, changes]).toEqual(['number', 1]);
  const { rows } = await owner.query('SELECT id FROM page WHERE hits = 100 ORDER BY id');
  expect(rows.map((row) => row['id'])).toEqual([11, 12, 13, 14, 15, 21, 22, 23]);
  expect((await owner.query(`SELECT * FROM tidemark.drift('page')`)).rows).toEqual([]);
});

it('changes of one row have a tid each, and the last of them stays', async () => {
  const committed = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((n) => save(30, { hits: 1000 + n })));
  const tids = committed.map(({ tid }) => tid as number);
  expect(new Set(tids).size).toBe(8);
  const { rows } = await owner.query('SELECT hits FROM page WHERE id = 30');
  expect(rows).toEqual([{ hits: 1001 + tids.indexOf(Math.max(...tids)) }]);
});

it('hot rows under two processes, beside changes of several rows: nothing fails, nothing is lost, tid order is commit order', async () => {
  const second = new Coalescer(other);
  const committed: Committed[] = [];
  const lane = async (by: Coalescer, seed: number) => {
    for (let n = 0; n < 60; n++)
      committed.push(await save(101 + ((seed * 13 + n * 7) % 9), { hits: seed * 1000 + n }, { by }));
  };
  const several = async () => {
    for (let n = 0; n < 40; n++) {
      const tx = new ModelTransaction({ database, origin: '7d0c5d57-97a1-4cc5-8a37-0d3a8f0a3c11' }).prepare({
        author: 'two',
      });
      tx.save(page, 101 + (n % 9), { hits: -n });
      tx.save(page, 101 + ((n + 4) % 9), { hits: -n });
      committed.push(await tx.commit());
    }
  };
  await Promise.all([...[1, 2, 3, 4, 5, 6].flatMap((n) => [lane(coalescer, n), lane(second, n + 10)]), several()]);
  const drawn = committed.filter(({ tid }) => tid !== null);
  expect(new Set(drawn.map(({ tid }) => tid)).size).toBe(drawn.length);
  const { rows: steps } = await owner.query(
    `SELECT * FROM (SELECT id, tid, row_version - lag(row_version) OVER (PARTITION BY id ORDER BY tid) AS step FROM page_journal) s WHERE step <> 1`,
  );
  expect(steps).toEqual([]);
  expect((await owner.query(`SELECT * FROM tidemark.drift('page')`)).rows).toEqual([]);
});

it('rows that somebody holds hold up nobody else', async () => {
  const holder = await owner.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT FROM page WHERE id BETWEEN 160 AND 165 FOR UPDATE');
  let held = 6;
  const waiting = Array.from({ length: 6 }, (_, n) => save(160 + n, { hits: 1 }).finally(() => held--));
  const free = await Promise.all(Array.from({ length: 20 }, (_, n) => save(170 + n, { hits: 1 })));
  expect(free.every(({ changes }) => changes === 1)).toBe(true);
  expect(held).toBe(6);
  await holder.query('ROLLBACK');
  holder.release();
  expect((await Promise.all(waiting)).every(({ changes }) => changes === 1)).toBe(true);
});

it('when the connection breaks, the outcome is unknown and said so; the next goes through', async () => {
  const blocker = await owner.connect();
  await blocker.query('BEGIN');
  await blocker.query('SELECT FROM page WHERE id = 150 FOR UPDATE');
  const waiting = [150, 151].map((id) => save(id, { hits: 5 }).catch((error: { code: string }) => error.code));
  let ended = 0;
  while (ended === 0) {
    const { rows } = await owner.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    ended = rows.length;
  }
  await blocker.query('ROLLBACK');
  blocker.release();
  expect(await waiting[0]).toBe('unavailable');
  await waiting[1];
  expect(await save(150, { hits: 6 })).toMatchObject({ changes: 1 });
});
