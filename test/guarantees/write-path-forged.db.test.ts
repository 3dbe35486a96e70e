import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ownServer } from '../support/own-server.ts';
import { changes, expectTrueJournal, head, type Lab, lab, Session, written } from './journaled.ts';

let at: Lab;
let app: Session;
let owner: Session;
let before: number;

beforeAll(async () => {
  at = await lab();
  ({ app, owner } = at);
  await owner.sql(`CREATE TABLE item (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);
    SELECT tidemark.journal_table('item', row_version => true); GRANT SELECT, INSERT, UPDATE, DELETE ON item TO tidemark_app;
    INSERT INTO item (id) SELECT generate_series(1, 9)`);
});
beforeEach(async () => {
  before = await head(owner);
});
afterAll(() => at.close());

const update = (id: number) => `UPDATE item SET n = n + 1 WHERE id = ${id}`;
const safe = async () => Number(await owner.value('SELECT safe FROM tidemark.frontier()'));
const drawn = async (session: Session) => (await session.value(`SELECT current_setting('tidemark.drawn')`)) as string;

describe('the floor', () => {
  it.each([
    ['high', '999999999'],
    ['higher than a lock key holds', '9223372036854775807'],
    ['negative', '-1'],
    ['more negative', '-9223372036854775808'],
  ])('forged %s still locks at the position of the sequence', async (_, forged) => {
    await app.sql('BEGIN');
    await app.sql(`SELECT set_config('tidemark.floor', $1, true)`, [forged]);
    await app.sql(update(1));
    expect(await safe()).toBe(before);
    await app.sql('COMMIT');
    expect(await safe()).toBe(before + 1);
    await expectTrueJournal(owner, 'item');
  });

  it('forged low only stalls the tail, to the end of that transaction', async () => {
    await app.sql(`BEGIN; SELECT set_config('tidemark.floor', '1', true)`);
    await app.sql(update(1));
    expect(await safe()).toBe(1);
    await app.sql('COMMIT');
    expect(await safe()).toBe(before + 1);
  });

  it('set for the whole session, high, is lowered again at each draw', async () => {
    const session = await at.session('app');
    await session.sql(`SET tidemark.floor = '999999999'`);
    for (let i = 0; i < 3; i++) {
      await session.sql(`BEGIN; ${update(1)}`);
      expect(await safe()).toBe(before + i);
      await session.sql('COMMIT');
    }
  });

  it.each(['garbage', '1.5', '99999999999999999999', ' ', "1'; DROP TABLE item"])(
    'forged as %p fails the write, and nothing is done',
    async (forged) => {
      await app.sql('BEGIN');
      await app.sql(`SELECT set_config('tidemark.floor', $1, true)`, [forged]);
      expect(await app.refusal(update(1))).toMatch(/^22(P02|003) /);
      expect(await head(owner)).toBe(before);
      await expectTrueJournal(owner, 'item');
    },
  );

  it('is raised again within a transaction: the lock taken first stays', async () => {
    await app.sql(`BEGIN; ${update(1)}`);
    await app.sql(`SELECT set_config('tidemark.floor', '999999999', true); ${update(2)}`);
    expect(await safe()).toBe(before);
    await app.sql('ROLLBACK');
    expect(await safe()).toBe(before + 2);
  });

  it('is released by a rollback, and by the end of a killed session', async () => {
    await app.sql(`BEGIN; ${update(1)}`);
    expect(await safe()).toBe(before);
    await app.sql('ROLLBACK');
    expect(await safe()).toBe(before + 1);
    const doomed = await at.session('app');
    doomed.client.on('error', () => undefined);
    const pid = await doomed.value('SELECT pg_backend_pid()');
    await doomed.sql(`BEGIN; ${update(1)}`);
    expect(await safe()).toBe(before + 1);
    await owner.sql('SELECT pg_terminate_backend($1, 5000)', [pid]);
    expect(await safe()).toBe(before + 2);
  });

  it('is not read in a REPEATABLE READ transaction, whose one snapshot would skip changes', async () => {
    await app.sql('BEGIN ISOLATION LEVEL REPEATABLE READ');
    expect(await app.refusal('SELECT * FROM tidemark.frontier()')).toMatch(/^25000 .*READ COMMITTED/);
  });

  it('of another database does not hold this one’s tail', async () => {
    const other = await lab();
    await other.owner.sql('BEGIN; SELECT pg_advisory_xact_lock_shared((29796::bigint << 48) | 1)');
    expect(await safe()).toBe(before);
    await other.close();
  });

  it('is kept by a prepared transaction until that is committed', async () => {
    const server = await ownServer({ settings: { max_prepared_transactions: '2', fsync: 'off' } });
    const session = await Session.open(server.ownerUrl);
    try {
      await session.sql(`CREATE TABLE item (id integer PRIMARY KEY); SELECT tidemark.journal_table('item')`);
      const frontier = () => session.sql('SELECT head::integer, safe::integer FROM tidemark.frontier()');
      const start = await head(session);
      await session.sql(`BEGIN; INSERT INTO item VALUES (1); PREPARE TRANSACTION 'left behind'`);
      await session.sql('INSERT INTO item VALUES (2)');
      expect(await frontier()).toEqual([{ head: start + 2, safe: start }]);
      await session.sql(`COMMIT PREPARED 'left behind'`);
      expect(await frontier()).toEqual([{ head: start + 2, safe: start + 2 }]);
      expect(await changes(session, 'item')).toEqual(['CREATE 1', 'CREATE 2']);
      await expectTrueJournal(session, 'item');
    } finally {
      await session.client.end();
      await server.stop();
    }
  });
});

describe('tidemark.drawn, put there by hand', () => {
  const flush = { author: 'ann', flush: 'f', transaction: 't' };

  it.each([
    ['JSON', '{"tid": 1}'],
    ['garbage', 'garbage'],
    ['numbers that are too long', '9999999999999999999 1 1 1 1 item'],
    ['too few parts', '5 5 1 0 0'],
    ['negative tids', '-5 -5 1 0 0 item'],
  ])('%s is not believed', async (_, forged) => {
    await app.sql('BEGIN');
    await app.sql(`SELECT set_config('tidemark.drawn', $1, true)`, [forged]);
    await app.flush([update(1)], flush);
    await app.sql('COMMIT');
    const [entry] = await written(owner, 'item', before);
    expect([entry?.tid, entry?.txn]).toEqual([before + 1, before + 1]);
    await expectTrueJournal(owner, 'item');
  });

  it('a tid that another transaction drew, committed or not, or nobody yet, is not believed, though all names are right', async () => {
    const other = await at.session('app');
    await other.sql('BEGIN');
    await other.flush([update(2)], flush);
    const uncommitted = Number((await drawn(other)).split(' ')[0]);
    await app.sql('BEGIN');
    await app.flush([update(1)], flush);
    const committed = Number((await drawn(app)).split(' ')[0]);
    await app.sql('COMMIT');
    await app.sql(`SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'`);
    for (const forged of [uncommitted, committed, committed + 100]) {
      const last = await head(owner);
      await app.sql(
        `WITH c AS (UPDATE item SET n = n + 1 WHERE id = 3 RETURNING 1)
           SELECT set_config('tidemark.actor', $1, true), (SELECT count(*) FROM c),
             set_config('tidemark.drawn', concat_ws(' ', $2::text, $2::text, 1,
               hashtextextended(concat('f@', statement_timestamp()), 0), hashtextextended('t', 0), 'item'), true)`,
        [JSON.stringify(flush), forged],
      );
      expect((await written(owner, 'item', last)).map((entry) => [entry.tid, entry.txn])).toEqual([
        [last + 1, last + 1],
      ]);
    }
    await app.sql('RESET TimeZone; RESET DateStyle');
    await other.sql('COMMIT');
    await expectTrueJournal(owner, 'item');
  });

  it('a tid that this transaction drew in an earlier statement is not believed', async () => {
    await app.sql(`SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'`);
    await app.sql('BEGIN');
    await app.flush([update(1)], flush);
    const [tid] = (await drawn(app)).split(' ');
    await app.sql(
      `WITH c AS (UPDATE item SET n = n + 1 WHERE id = 3 RETURNING 1)
         SELECT set_config('tidemark.actor', $1, true), (SELECT count(*) FROM c),
           set_config('tidemark.drawn', concat_ws(' ', $2::text, $2::text, 1,
             hashtextextended(concat('f@', statement_timestamp()), 0), hashtextextended('t', 0), 'item'), true)`,
      [JSON.stringify(flush), tid],
    );
    await app.sql('COMMIT');
    await app.sql('RESET TimeZone; RESET DateStyle');
    expect((await written(owner, 'item', before)).map((entry) => [entry.tid, entry.txn])).toEqual([
      [before + 1, before + 1],
      [before + 2, before + 1],
    ]);
  });

  it('a value of this statement is not believed once its subtransaction, and with it its floor, was rolled back', async () => {
    await owner.sql(`CREATE TABLE other (id integer PRIMARY KEY); SELECT tidemark.journal_table('other');
      GRANT INSERT ON other TO tidemark_app`);
    await app.sql(`DO $$ DECLARE drawn text; BEGIN
      PERFORM set_config('tidemark.actor', '{"flush": "f"}', true);
      BEGIN
        UPDATE item SET n = n + 1 WHERE id = 1;
        drawn := current_setting('tidemark.drawn');
        RAISE EXCEPTION 'back';
      EXCEPTION WHEN raise_exception THEN NULL;
      END;
      PERFORM set_config('tidemark.drawn', drawn, true);
      INSERT INTO other VALUES (1); END $$`);
    expect((await written(owner, 'other')).map(({ tid }) => tid)).toEqual([before + 2]);
  });

  it('a session-level value is overridden and leads no other session astray', async () => {
    const session = await at.session('app');
    await session.sql('BEGIN');
    await session.flush([update(1)], flush);
    const value = await drawn(session);
    await session.sql('COMMIT');
    await session.sql(`SELECT set_config('tidemark.drawn', $1, false)`, [value]);
    const last = await head(owner);
    await session.flush([update(1)], flush);
    await session.flush([update(1)], flush);
    expect((await written(owner, 'item', last)).map(({ tid }) => tid)).toEqual([last + 1, last + 2]);
  });
});
