import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectTrueJournal, head, type Lab, lab, type Session } from './journaled.ts';

let at: Lab;
let owner: Session;

beforeAll(async () => {
  at = await lab();
  owner = at.owner;
  await owner.sql(`
    CREATE EXTENSION citext;
    CREATE TABLE par (id integer PRIMARY KEY);
    CREATE TABLE many (id integer PRIMARY KEY, p integer REFERENCES par ON DELETE SET NULL, a text, n integer DEFAULT 0);
    CREATE INDEX ON many (p); CREATE INDEX ON many (n);
    CREATE TABLE folk (name citext PRIMARY KEY, n integer DEFAULT 0);
    CREATE TABLE grown (id integer PRIMARY KEY, n integer DEFAULT 0);
    SELECT tidemark.journal_table(t, row_version => true) FROM unnest('{par,many,folk,grown}'::regclass[]) t;
    INSERT INTO par VALUES (1), (2)`);
});
afterAll(() => at.close());

async function timed(session: Session, sql: string): Promise<number> {
  const start = performance.now();
  await session.sql(sql);
  return performance.now() - start;
}

/** One-row statements first: the plan that a session caches from them is what a bulk statement then runs with. */
async function warmed(update: (id: number) => string): Promise<Session> {
  const session = await at.session();
  for (let id = 1; id <= 8; id++) await session.sql(update(id));
  return session;
}

/** A plan that compares every row with every other takes 16 times as long for four times the rows; twelve leaves room for noise. */
function expectNotQuadratic(few: number, many: number): void {
  expect(many).toBeLessThan(Math.max(few * 12, 2_000));
  expect(many).toBeLessThan(15_000);
}

describe('a bulk statement after one-row statements of the same session is not quadratic', () => {
  it('INSERT, UPDATE and DELETE: 20,000 rows against 5,000', async () => {
    await owner.sql('INSERT INTO many (id) SELECT generate_series(1, 25000)');
    const session = await warmed(
      (id) =>
        `INSERT INTO many (id) VALUES (${-id}); UPDATE many SET n = ${id} WHERE id = ${id}; DELETE FROM many WHERE id = ${-id}`,
    );
    for (const bulk of [
      (from: number, to: number) => `UPDATE many SET n = n + 1, a = 'x' || id WHERE id BETWEEN ${from} AND ${to}`,
      (from: number, to: number) => `UPDATE many SET p = 1 + id % 2 WHERE id BETWEEN ${from} AND ${to}`,
      (from: number, to: number) => `DELETE FROM many WHERE id BETWEEN ${from} AND ${to}`,
      (from: number, to: number) => `INSERT INTO many (id, p) SELECT g, 1 FROM generate_series(${from}, ${to}) g`,
    ]) {
      const few = await timed(session, bulk(1, 5_000));
      expectNotQuadratic(few, await timed(session, bulk(5_001, 25_000)));
    }
    await expectTrueJournal(owner, 'many');
  });

  it('nor is one whose rows change their keys, nor a cascade over all of them', async () => {
    const session = await warmed((id) => `UPDATE many SET id = id + 1000000 WHERE id = ${id}`);
    const few = await timed(session, 'UPDATE many SET id = -id WHERE id <= 5000');
    expectNotQuadratic(few, await timed(session, 'UPDATE many SET id = -id WHERE id > 5000 AND id <= 25000'));
    expect(await timed(session, 'DELETE FROM par WHERE id = 1')).toBeLessThan(15_000);
    expect(await owner.value('SELECT count(*)::integer FROM many WHERE p = 1')).toBe(0);
    await expectTrueJournal(owner, 'many');
  });

  it('nor with a key whose type compares by an operator of its own (citext)', async () => {
    await owner.sql(`INSERT INTO folk (name) SELECT 'Name ' || g FROM generate_series(1, 25000) g`);
    const session = await warmed((id) => `UPDATE folk SET n = 1 WHERE name = 'name ${id}'`);
    const few = await timed(session, `UPDATE folk SET n = n + 1 WHERE split_part(name::text, ' ', 2)::integer <= 5000`);
    expectNotQuadratic(
      few,
      await timed(session, `UPDATE folk SET n = n + 1 WHERE split_part(name::text, ' ', 2)::integer > 5000`),
    );
    await expectTrueJournal(owner, 'folk');
  });

  it('100,000 rows in one statement have one tid', async () => {
    const before = await head(owner);
    await owner.sql('INSERT INTO par SELECT generate_series(10, 100009)');
    expect(await head(owner)).toBe(before + 1);
    expect(await owner.value('SELECT count(*)::integer FROM par_journal WHERE tid = $1', [before + 1])).toBe(100_000);
  });
});

describe('a table that grows from nothing in one session', () => {
  it('is journaled as fast at 50,000 rows as at its start, by the plans cached when it was empty', async () => {
    const session = await at.session();
    const round = (from: number, to: number) =>
      timed(
        session,
        `DO $$ BEGIN FOR i IN ${from}..${to} LOOP INSERT INTO grown (id) VALUES (i); UPDATE grown SET n = i WHERE id = i; END LOOP; END $$`,
      );
    const first = await round(1, 1_000);
    await session.sql('INSERT INTO grown (id) SELECT generate_series(1001, 49000)');
    const last = await round(49_001, 50_000);
    expect(last).toBeLessThan(Math.max(4 * first, 2_000));
    await expectTrueJournal(owner, 'grown');
  });
});
