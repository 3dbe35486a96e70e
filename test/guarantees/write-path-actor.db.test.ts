import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { changes, expectTrueJournal, head, type Lab, lab, type Session, written } from './journaled.ts';

let at: Lab;
let app: Session;
let owner: Session;
let before: number;
const ANN = `'{"author": "ann", "flush": "f"}'`;

beforeAll(async () => {
  at = await lab();
  ({ app, owner } = at);
  await owner.sql(`
    CREATE TABLE item (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0, name text UNIQUE DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE other (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);
    SELECT tidemark.journal_table('item'), tidemark.journal_table('other');
    GRANT SELECT, INSERT, UPDATE, DELETE ON item, other TO tidemark_app;
    INSERT INTO item (id) SELECT generate_series(1, 20);
    INSERT INTO other (id) SELECT generate_series(1, 20)`);
});
beforeEach(async () => {
  before = await head(owner);
});
afterAll(() => at.close());

const authors = async (resource = 'item') => (await written(owner, resource, before)).map(({ author }) => author);
const tids = async (resource = 'item') => (await written(owner, resource, before)).map(({ tid }) => tid);
const role = async () => (await app.value('SELECT session_user::text')) as string;

describe('the main SELECT of a flush names the actor', () => {
  it('of every CTE, also of those that nothing reads, under one tid', async () => {
    await app.flush([
      'UPDATE item SET n = n + 1 WHERE id = 1',
      'INSERT INTO other (id) VALUES (100)',
      'DELETE FROM other WHERE id = 1',
      'UPDATE item SET n = n + 1 WHERE id = 99999',
    ]);
    expect([...(await authors()), ...(await authors('other'))]).toEqual(['ann', 'ann', 'ann']);
    expect(new Set([...(await tids()), ...(await tids('other'))]).size).toBe(1);
  });

  it('a context CTE that nothing reads is never run: the change is the database role’s', async () => {
    await app.sql(`WITH ctx AS (SELECT set_config('tidemark.actor', ${ANN}, true))
      UPDATE item SET n = n + 1 WHERE id = 1`);
    expect(await authors()).toEqual([await role()]);
  });

  it('a context CTE that is read names the actor too', async () => {
    const ctx = `WITH ctx AS MATERIALIZED (SELECT set_config('tidemark.actor', ${ANN}, true) AS a)`;
    await app.sql(`${ctx} UPDATE item SET n = n + 1 FROM ctx WHERE id = 1`);
    await app.sql(`${ctx} INSERT INTO other SELECT 101, length(a) FROM ctx`);
    await app.sql(`${ctx} DELETE FROM other USING ctx WHERE id = 101`);
    expect([...(await authors()), ...(await authors('other'))]).toEqual(['ann', 'ann', 'ann']);
  });

  it('tells the session its tid and number of changes in the same round trip', async () => {
    const told: string[] = [];
    const listen = ({ code, message }: { code?: string | undefined; message?: string | undefined }) =>
      told.push(`${code} ${message}`);
    app.client.on('notice', listen);
    await app.sql('SET client_min_messages = error');
    await app.flush(['UPDATE item SET n = n + 1 WHERE id < 4']);
    await app.sql('UPDATE item SET n = n + 1 WHERE id < 4');
    app.client.off('notice', listen);
    await app.sql('RESET client_min_messages');
    expect(told).toEqual([expect.stringMatching(new RegExp(`^TM000 tidemark ${before + 1} 3 `))]);
  });
});

describe('what an actor leaves behind', () => {
  it('nothing after the statement, nor after an error', async () => {
    await app.flush(['UPDATE item SET n = n + 1 WHERE id = 1']);
    await app.sql('UPDATE item SET n = n + 1 WHERE id = 1');
    const failing = `WITH a AS (UPDATE item SET n = NULL WHERE id = 1) SELECT set_config('tidemark.actor', ${ANN}, true)`;
    await app.refusal(failing);
    await app.sql('UPDATE item SET n = n + 1 WHERE id = 1');
    expect(await authors()).toEqual(['ann', await role(), await role()]);
  });

  it('inside a transaction, the author of later statements, but not the tid of the flush', async () => {
    await app.sql('BEGIN');
    await app.flush(['UPDATE item SET n = n + 1 WHERE id = 1']);
    await app.sql('UPDATE item SET n = n + 1 WHERE id = 2');
    await app.sql('COMMIT');
    expect(await authors()).toEqual(['ann', 'ann']);
    expect(new Set(await tids()).size).toBe(2);
  });

  it('nothing after ROLLBACK TO SAVEPOINT: actor, floor and lock are back, and the next statement locks anew', async () => {
    const locks = `SELECT count(*)::integer FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`;
    await app.sql('BEGIN; SAVEPOINT one');
    await app.flush(['UPDATE item SET n = n + 1 WHERE id = 1']);
    expect(await app.value(locks)).toBe(1);
    await app.sql('ROLLBACK TO one');
    expect(await app.value(locks)).toBe(0);
    expect(await app.sql(`SELECT tid, changes FROM tidemark.drawn()`)).toEqual([{ tid: null, changes: null }]);
    await app.sql('UPDATE item SET n = n + 1 WHERE id = 2');
    expect(await app.value(locks)).toBe(1);
    expect(Number(await owner.value('SELECT safe FROM tidemark.frontier()'))).toBe(before + 1);
    await app.sql('COMMIT');
    expect(await authors()).toEqual([await role()]);
    expect(Number(await owner.value('SELECT safe FROM tidemark.frontier()'))).toBe(before + 2);
  });

  it('after RELEASE SAVEPOINT the actor stays to the end of the transaction', async () => {
    await app.sql('BEGIN; SAVEPOINT one');
    await app.flush(['UPDATE item SET n = n + 1 WHERE id = 1']);
    await app.sql('RELEASE one; UPDATE item SET n = n + 1 WHERE id = 2; COMMIT');
    expect(await authors()).toEqual(['ann', 'ann']);
  });

  it('a change made by a deferred constraint trigger at commit draws a tid of its own', async () => {
    await owner.sql(`
      CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE other SET n = n + 1 WHERE id = 2; RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON item DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()`);
    await owner.flush(['UPDATE item SET n = n + 1 WHERE id = 1', 'UPDATE other SET n = n + 1 WHERE id = 3']);
    await owner.sql('DROP TRIGGER late ON item; DROP FUNCTION late');
    const others = await written(owner, 'other', before);
    expect(others.map(({ id }) => id)).toEqual(['3', '2']);
    expect(others[0]?.tid).toBe((await tids())[0]);
    expect(others[1]?.tid).toBeGreaterThan(others[0]?.tid as number);
  });
});

describe('one tid for one flush', () => {
  it('pipelined flushes of one transaction have each a tid, and txn groups a ModelTransaction, not the batch', async () => {
    const config = { connectionString: at.url, pipeline: true };
    const client = new pg.Client(config);
    await client.connect();
    const flush = (id: number, transaction: string) =>
      client.query(
        `WITH a AS (UPDATE item SET n = n + 1 WHERE id = ${id}) SELECT set_config('tidemark.actor', $1, true)`,
        [JSON.stringify({ author: 'ann', flush: 'same name', transaction })],
      );
    await Promise.all([
      client.query('BEGIN'),
      ...[1, 2, 3, 4].map((id) => flush(id, id < 3 ? 'first' : 'second')),
      client.query('COMMIT'),
    ]);
    await client.end();
    const [a, b, c, d] = await written(owner, 'item', before);
    expect(new Set(await tids()).size).toBe(4);
    expect([a?.txn, b?.txn, c?.txn, d?.txn]).toEqual([a?.tid, a?.tid, c?.tid, c?.tid]);
  });

  it('statements of a raw transaction draw one tid each, and share their txn', async () => {
    await app.sql(`BEGIN; UPDATE item SET n = n + 1 WHERE id = 1; INSERT INTO other VALUES (200); DELETE FROM item WHERE id = 20;
      COMMIT`);
    const all = [...(await written(owner, 'item', before)), ...(await written(owner, 'other', before))];
    expect(all.map(({ txn }) => txn)).toEqual([before + 1, before + 1, before + 1]);
    expect(new Set(all.map(({ tid }) => tid)).size).toBe(3);
  });

  it('drawn() tells the highest tid and the number of changes of this transaction', async () => {
    await app.sql('BEGIN');
    expect(await app.sql('SELECT tid, changes FROM tidemark.drawn()')).toEqual([{ tid: null, changes: null }]);
    await app.flush(['UPDATE item SET n = n + 1 WHERE id < 4', 'UPDATE other SET n = n + 1 WHERE id = 3']);
    await app.sql('UPDATE item SET n = n + 1 WHERE id = 5');
    const [drawn] = await app.sql('SELECT tid::integer, changes::integer FROM tidemark.drawn()');
    await app.sql('COMMIT');
    expect(drawn).toEqual({ tid: before + 2, changes: 5 });
  });

  it('known and accepted: a hand-written simple-query message that names a flush and holds two updates shares one tid', async () => {
    await app.sql(`BEGIN; SELECT set_config('tidemark.actor', ${ANN}, true);
      UPDATE item SET n = n + 1 WHERE id = 1; UPDATE item SET n = n + 1 WHERE id = 2; COMMIT`);
    expect(await tids()).toEqual([before + 1, before + 1]);
    const sameRow = `BEGIN; SELECT set_config('tidemark.actor', ${ANN}, true);
      UPDATE item SET n = n + 1 WHERE id = 1; UPDATE item SET n = n + 1 WHERE id = 1; COMMIT`;
    expect(await app.refusal(sameRow)).toMatch(/^23505 .*item_(journal|history)_pkey/);
    await expectTrueJournal(owner, 'item');
  });
});

describe('who did it', () => {
  it('without an actor the author is the role, the one that was set where one was set', async () => {
    await owner.sql(`BEGIN; SET LOCAL ROLE tidemark_app; UPDATE item SET n = n + 1 WHERE id = 1; COMMIT`);
    await owner.sql('UPDATE item SET n = n + 1 WHERE id = 2');
    expect(await authors()).toEqual(['tidemark_app', await owner.value('SELECT session_user::text')]);
  });

  it('an author is a claim; db_role is the evidence beside it', async () => {
    await app.flush(['UPDATE item SET n = n + 1 WHERE id = 1'], { author: 'the pope' });
    const row = await owner.sql('SELECT author, db_role FROM item_journal WHERE tid > $1', [before]);
    expect(row).toEqual([{ author: 'the pope', db_role: await role() }]);
  });

  it('all that an actor says is in the journal row', async () => {
    const actor = { ipnr: '2001:db8::1', authenticated: true, origin: '0198aaaa-0000-7000-8000-000000000000' };
    await app.flush(['UPDATE item SET n = n + 1 WHERE id = 1'], { ...actor, comment: 'why', meta: { k: [1] } });
    const [row] = await owner.sql(
      `SELECT ipnr::text, authenticated, origin, comment, meta FROM item_journal WHERE tid > $1`,
      [before],
    );
    expect(row).toEqual({ ...actor, ipnr: '2001:db8::1/128', comment: 'why', meta: { k: [1] } });
    await app.flush(['UPDATE item SET n = n + 1 WHERE id = 1'], { ipnr: null, meta: null, comment: null });
    const [empty] = await owner.sql(
      `SELECT ipnr, comment, meta::text FROM item_journal WHERE tid > $1 ORDER BY tid DESC LIMIT 1`,
      [before],
    );
    expect(empty).toEqual({ ipnr: null, comment: null, meta: null });
  });

  it.each([
    ['[]', undefined],
    ['null', undefined],
    ['"ann"', undefined],
    ['', undefined],
    ['not json', /^22P02 .*json/],
    ['{"author": "ann"', /^22P02 .*json/],
    ['{"ipnr": "999.1.1.1"}', /^22P02 .*inet/],
    ['{"origin": "me"}', /^22P02 .*uuid/],
    ['{"authenticated": "perhaps"}', /^22P02 .*boolean/],
    ['{"meta": {}, "time": "yesterdayish"}', /^22007 .*timestamp/],
  ])('a malformed actor %s falls back to the role or fails the write, which changes nothing', async (actor, error) => {
    const change = `WITH a AS (UPDATE item SET n = n + 1 WHERE id = 1) SELECT set_config('tidemark.actor', $1, true)`;
    if (error === undefined) {
      await app.sql(change, [actor]);
      expect(await authors()).toEqual([await role()]);
    } else {
      expect(await app.refusal(change, [actor])).toMatch(error);
      expect(await changes(owner, 'item', before)).toEqual([]);
    }
    await expectTrueJournal(owner, 'item');
  });
});
