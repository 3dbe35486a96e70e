import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { changes, expectTrueJournal, head, type Lab, lab, type Session } from './journaled.ts';

let at: Lab;
let owner: Session;
const long = process.env['TIDEMARK_TEST_LONG'] === '1';
const DURATION = long ? 60_000 : 5_000;

beforeAll(async () => {
  at = await lab();
  owner = at.owner;
  await owner.sql(`
    CREATE TABLE par (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);
    CREATE TABLE hot (id integer PRIMARY KEY, p integer REFERENCES par ON DELETE SET NULL ON UPDATE CASCADE, n integer NOT NULL DEFAULT 0);
    CREATE TABLE other (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);
    CREATE TABLE churn (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);
    SELECT tidemark.journal_table(t, row_version => true) FROM unnest('{par,hot,other,churn}'::regclass[]) t;
    GRANT SELECT, INSERT, UPDATE, DELETE ON par, hot, other, churn TO tidemark_app;
    INSERT INTO par (id) SELECT generate_series(1, 4);
    INSERT INTO hot SELECT g, 1 + g % 4 FROM generate_series(1, 6) g;
    INSERT INTO other (id) SELECT generate_series(1, 6)`);
});
afterAll(() => at.close());

const some = (n: number) => 1 + Math.floor(Math.random() * n);
const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T;

/** Everything that takes and leaves row locks in an order of its own. */
const STEPS: ((session: Session) => Promise<unknown>)[] = [
  (s) => s.flush([`UPDATE hot SET n = n + 1 WHERE id = ${some(6)}`]),
  (s) =>
    s.flush([`UPDATE hot SET n = n + 1 WHERE id = ${some(6)}`, `UPDATE other SET n = n + 1 WHERE id = ${some(6)}`]),
  (s) =>
    s.sql(
      `BEGIN; UPDATE hot SET n = n + 1 WHERE id = ${some(6)}; UPDATE other SET n = n + 1 WHERE id = ${some(6)}; COMMIT`,
    ),
  (s) =>
    s.sql(`BEGIN; UPDATE other SET n = n + 1 WHERE id = ${some(6)}; SAVEPOINT a;
    UPDATE hot SET n = n + 1 WHERE id = ${some(6)}; ROLLBACK TO a; UPDATE hot SET n = n + 1 WHERE id = ${some(6)}; COMMIT`),
  (s) => s.sql(`BEGIN; UPDATE hot SET n = n + 1 WHERE id = ${some(6)}; ROLLBACK`),
  async (s) => {
    // a row that is held, and changed again after others have drawn their tids
    const twice = `UPDATE hot SET n = n + 1 WHERE id = ${some(6)}`;
    await s.sql('BEGIN');
    await s.sql(twice);
    await s.sql('SELECT pg_sleep(0.003)');
    await s.sql(twice);
    await s.sql('COMMIT');
  },
  (s) => s.sql(`UPDATE hot SET n = n + 1 WHERE id % 3 = ${some(3) - 1}`),
  (s) => s.sql(`INSERT INTO churn (id) VALUES (${some(5)}) ON CONFLICT (id) DO UPDATE SET n = churn.n + 1`),
  (s) =>
    s.sql(
      `BEGIN; DELETE FROM churn WHERE id = ${some(5)}; INSERT INTO churn (id) VALUES (${some(5)}) ON CONFLICT DO NOTHING; COMMIT`,
    ),
  (s) =>
    s.sql(`MERGE INTO churn t USING (SELECT ${some(5)} AS id, ${some(3)} AS act) s ON t.id = s.id
    WHEN MATCHED AND act = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET n = t.n + 1 WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)`),
  (s) => s.flush([`DELETE FROM par WHERE id = ${some(4)}`, `UPDATE other SET n = n + 1 WHERE id = ${some(6)}`]),
  (s) => s.sql(`INSERT INTO par (id) VALUES (${some(4)}) ON CONFLICT DO NOTHING`),
  (s) => s.flush([`UPDATE hot SET p = (SELECT min(id) FROM par), n = n + 1 WHERE id = ${some(6)}`]),
  (s) =>
    s.sql(`BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM churn; SELECT pg_sleep(0.002);
      INSERT INTO churn (id) VALUES (${some(5)}); UPDATE churn SET n = n + 1 WHERE id = ${some(5)}; COMMIT`),
  (s) => s.sql(`UPDATE par SET id = ${some(4)} WHERE id = ${some(4)}`),
];

const EXPECTED_FAILURES = ['40P01', '40001', '23505', '23503'];

async function hammer(session: Session, until: number): Promise<number> {
  let done = 0;
  while (performance.now() < until) {
    try {
      await pick(STEPS)(session);
      done++;
    } catch (error) {
      await session.sql('ROLLBACK');
      if (!EXPECTED_FAILURES.includes((error as { code: string }).code)) throw error;
    }
  }
  return done;
}

describe('tid order is commit order, for every row', () => {
  it(
    'under many writers of few rows, with flushes, cascades, savepoints, rollbacks, MERGE: no version goes back along tid',
    async () => {
      const writers = await Promise.all(Array.from({ length: 12 }, () => at.session()));
      for (const writer of writers) await writer.sql(`SET deadlock_timeout = '20ms'; SET ROLE tidemark_app`);
      const end = performance.now() + DURATION;
      const done = await Promise.all(writers.map((writer) => hammer(writer, end)));
      expect(done.reduce((sum, n) => sum + n)).toBeGreaterThan(200);
      for (const resource of ['par', 'hot', 'other', 'churn']) await expectTrueJournal(owner, resource);
      // nothing here writes a row twice in one statement: each change of a row is exactly one version up
      const steps = `SELECT * FROM (SELECT id, tid, change, row_version, lag(row_version) OVER (PARTITION BY id ORDER BY tid) AS before
          FROM hot_journal) v WHERE change = 'MODIFY' AND row_version <= before`;
      expect(await owner.sql(steps)).toEqual([]);
      const life = `SELECT * FROM (SELECT id, tid, change, lag(change) OVER (PARTITION BY id ORDER BY tid) AS before
          FROM churn_journal) v WHERE (change = 'CREATE') = (coalesce(before, 'DELETE') <> 'DELETE')`;
      expect(await owner.sql(life)).toEqual([]);
    },
    DURATION + 60_000,
  );

  it('a session that waited for a row draws after the one it waited for', async () => {
    const [first, second] = [await at.session('app'), await at.session('app')];
    const before = await head(owner);
    await first.sql('BEGIN; UPDATE hot SET n = 1001 WHERE id = 1');
    const waits = second.sql('UPDATE hot SET n = 1002 WHERE id = 1');
    await second.waits(owner);
    await first.sql('UPDATE other SET n = n + 1 WHERE id = 1; COMMIT');
    await waits;
    const [lower, higher] = await owner.sql(
      `SELECT h.value::integer AS n FROM hot_history h WHERE h.tid > $1 ORDER BY tid`,
      [before],
    );
    expect([lower?.['n'], higher?.['n']]).toEqual([1001, 1002]);
    await expectTrueJournal(owner, 'hot');
  });

  it('a cascade of a flush that waited for a row draws after what changed the row meanwhile, not with its flush', async () => {
    const [holder, flusher] = [await at.session('app'), await at.session('app')];
    await holder.sql('INSERT INTO par (id) VALUES (50); INSERT INTO hot VALUES (50, 50)');
    const before = await head(owner);
    await holder.sql('BEGIN; SELECT FROM hot WHERE id = 50 FOR UPDATE');
    const waits = flusher.flush(['DELETE FROM par WHERE id = 50', 'UPDATE other SET n = n + 1 WHERE id = 2']);
    await flusher.waits(owner);
    await holder.sql('UPDATE hot SET n = 2 WHERE id = 50; COMMIT');
    await waits;
    const versions = `SELECT row_version::integer AS v FROM hot_journal WHERE tid > $1 ORDER BY tid`;
    expect((await owner.sql(versions, [before])).map(({ v }) => v)).toEqual([2, 3]);
    await expectTrueJournal(owner, 'hot');
  });

  it('a key that is deleted by one session and inserted by another which waits for it', async () => {
    const [first, second] = [await at.session('app'), await at.session('app')];
    await first.sql('DELETE FROM churn; INSERT INTO churn (id) VALUES (9)');
    const before = await head(owner);
    await first.sql('BEGIN; DELETE FROM churn WHERE id = 9');
    const waits = second.sql('INSERT INTO churn (id, n) VALUES (9, 2)');
    await second.waits(owner);
    await first.sql('COMMIT');
    await waits;
    expect(await changes(owner, 'churn', before)).toEqual(['DELETE 9', 'CREATE 9']);
    await expectTrueJournal(owner, 'churn');
  });
});
