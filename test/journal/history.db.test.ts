import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import {
  changesOf,
  changesOfTid,
  decodeCursor,
  defineResource,
  encodeCursor,
  findId,
  findIdAsOf,
  readChanges,
  readEntries,
  readEpoch,
  resolveAsOf,
  rowAsOf,
  rowsAsOf,
} from '#libs/journal';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

const page = defineResource({ name: 'page', alias: 'name' });
const member = defineResource({ name: 'member', key: ['team', 'person'], versioned: false });
let test: TestDatabase;
let database: Database;
let owner: Database;

/** Runs SQL as the owner and answers the tid it drew. */
async function change(sql: string): Promise<number> {
  const connection = await owner.connect();
  await connection.query('BEGIN');
  await connection.query(sql);
  const { rows } = await connection.query<{ tid: number }>('SELECT tid FROM tidemark.drawn()');
  await connection.query('COMMIT');
  connection.release();
  return rows[0]?.tid ?? 0;
}

beforeAll(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl });
  database = Database.open({ url: test.url });
  await owner.query(`
    CREATE TABLE page (id int PRIMARY KEY, name text NOT NULL UNIQUE, text text, size numeric, big bigint, data jsonb);
    CREATE TABLE member (team text, person int, role text, PRIMARY KEY (team, person));
    SELECT tidemark.journal_table('page', row_version => true);
    SELECT tidemark.journal_table('member');
    GRANT SELECT, INSERT, UPDATE, DELETE ON page, member TO tidemark_app`);
});

afterAll(async () => {
  await database.close();
  await owner.close();
  await test.drop();
});

describe('the history of a row', () => {
  it('shows old and new values, newest first, through deletion and rebirth', async () => {
    const t1 = await change(`INSERT INTO page VALUES (1, 'Start', 'hello', 1.50, 9007199254740993, 'null')`);
    const t2 = await change(`UPDATE page SET text = 'bye' WHERE id = 1`);
    const t3 = await change(`UPDATE page SET text = NULL, name = 'Home' WHERE id = 1`);
    const t4 = await change(`DELETE FROM page WHERE id = 1`);
    const t5 = await change(`INSERT INTO page (id, name) VALUES (1, 'Start')`);
    const t6 = await change(`UPDATE page SET text = 'again' WHERE id = 1`);
    const changes = await changesOf(database, 'page', '1', { limit: 50 });
    expect(changes.map(({ tid, change, fields }) => ({ tid, change, fields }))).toEqual([
      { tid: t6, change: 'MODIFY', fields: { text: { old: null, new: 'again' } } },
      { tid: t5, change: 'CREATE', fields: { id: { old: null, new: 1 }, name: { old: null, new: 'Start' } } },
      {
        ...{ tid: t4, change: 'DELETE' },
        fields: {
          ...{ id: { old: 1, new: null }, name: { old: 'Home', new: null }, size: { old: 1.5, new: null } },
          ...{ big: { old: '9007199254740993', new: null }, data: { old: null, new: null } },
        },
      },
      {
        tid: t3,
        change: 'MODIFY',
        fields: { text: { old: 'bye', new: null }, name: { old: 'Start', new: 'Home' } },
      },
      { tid: t2, change: 'MODIFY', fields: { text: { old: 'hello', new: 'bye' } } },
      expect.objectContaining({ tid: t1, change: 'CREATE' }),
    ]);
    expect((await changesOf(database, 'page', '1', { limit: 2, before: t5 })).map((c) => c.tid)).toEqual([t4, t3]);
    const { rows } = await owner.query<{ role: string }>('SELECT current_user AS role');
    expect(changes[0]).toMatchObject({
      author: rows[0]?.role,
      origin: null,
      ipnr: null,
      resource: 'page',
      txn: t6,
    });
  });

  it('of a composite key is found under the JSON array of its values', async () => {
    const tid = await change(`INSERT INTO member VALUES ('a "quoted" team', 7, 'lead')`);
    expect(await changesOfTid(database, tid)).toEqual([
      expect.objectContaining({ resource: 'member', id: JSON.stringify(['a "quoted" team', 7]) }),
    ]);
    expect(await findId(database, member, JSON.stringify(['a "quoted" team', 7]))).toBe('["a \\"quoted\\" team",7]');
  });

  it('of an unknown tid is not found', async () => {
    await expect(changesOfTid(database, 999_999)).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('reading in journal order', () => {
  it('resumes in the middle of a tid', async () => {
    const tid = await change(`INSERT INTO page (id, name) SELECT n, 'bulk ' || n FROM generate_series(100, 349) n`);
    const whole = await readEntries(database, { after: { tid: tid - 1 }, upto: tid, limit: 1000 });
    const read: string[] = [];
    let after: { tid: number; resource?: string; id?: string } = { tid: tid - 1 };
    for (;;) {
      const batch = await readEntries(database, { after, upto: tid, limit: 7 });
      if (batch.length === 0) break;
      read.push(...batch.map((entry) => entry.id));
      const last = batch.at(-1) as (typeof batch)[number];
      expect(last.values['name']).toBe(`bulk ${last.id}`);
      after = { tid: last.tid, resource: last.resource, id: last.id };
    }
    expect(read).toEqual(whole.map((entry) => entry.id));
    expect(read).toHaveLength(250);
    const some = await readChanges(database, { after: { tid: tid - 1 }, limit: 3, resource: 'member' });
    expect(some).toEqual([]);
  });
});

describe('time travel', () => {
  it('reads a row and a resource as of any tid', async () => {
    const t1 = await change(`INSERT INTO page (id, name, text) VALUES (2, 'Two', 'a')`);
    const t2 = await change(`UPDATE page SET text = 'b', name = 'Zwei' WHERE id = 2`);
    const t3 = await change(`DELETE FROM page WHERE id = 2`);
    expect((await rowAsOf(database, 'page', '2', t1))?.values).toEqual({ id: 2, name: 'Two', text: 'a' });
    expect((await rowAsOf(database, 'page', '2', t2))?.values).toEqual({ id: 2, name: 'Zwei', text: 'b' });
    expect((await rowAsOf(database, 'page', '2', t2))?.entry).toMatchObject({ tid: t2, change: 'MODIFY' });
    expect(await rowAsOf(database, 'page', '2', t3)).toBeUndefined();
    expect(await rowAsOf(database, 'page', '2', t1 - 1)).toBeUndefined();
    const ids = async (tid: number) => (await rowsAsOf(database, 'page', tid, { limit: 500 })).map((row) => row.id);
    expect(await ids(t2)).toContain('2');
    expect(await ids(t3)).not.toContain('2');
    const paged = await rowsAsOf(database, 'page', t2, { limit: 5, after: '1' });
    expect(paged.map((row) => row.id)).toEqual(['100', '101', '102', '103', '104']);
  });

  it('as of a time means everything up to the highest tid whose time is not later', async () => {
    const t1 = await change(`INSERT INTO page (id, name) VALUES (3, 'Three')`);
    await change(`SELECT set_config('tidemark.actor', '{"author":"import","time":"2001-02-03T04:05:06Z"}', true);
      UPDATE page SET text = 'imported later, dated earlier' WHERE id = 3`);
    const t3 = await change(`UPDATE page SET text = 'now' WHERE id = 3`);
    const [first] = await changesOf(database, 'page', '3', { limit: 1 });
    expect(first?.tid).toBe(t3);
    expect(await resolveAsOf(database, (first as { time: string }).time)).toBe(t3);
    expect(await resolveAsOf(database, '2001-02-03T04:05:06Z')).toBe(t3 - 1);
    expect(await resolveAsOf(database, '2001-02-03T05:05:06.5+01:00')).toBe(t3 - 1);
    expect(await resolveAsOf(database, String(t1))).toBe(t1);
  });

  it('refuses the future, the time before the beginning and what is neither tid nor time', async () => {
    await expect(resolveAsOf(database, '99999999')).rejects.toMatchObject({
      code: 'not_found',
      message: /future/,
    });
    await expect(resolveAsOf(database, '2999-01-01T00:00:00Z')).rejects.toMatchObject({
      code: 'not_found',
      message: /future/,
    });
    await expect(resolveAsOf(database, '1')).rejects.toMatchObject({
      code: 'not_found',
      message: /before the beginning/,
    });
    await expect(resolveAsOf(database, '1970-01-01T00:00:00Z')).rejects.toMatchObject({
      code: 'not_found',
      message: /before/,
    });
    for (const bad of ['yesterday', '', '-5', '2026-13-45T00:00:00Z', '2026-01-01', '1e9', '12345678901234567890']) {
      await expect(resolveAsOf(database, bad)).rejects.toMatchObject({ code: 'malformed' });
    }
  });

  it('finds rows by the name they bear or bore', async () => {
    await change(`INSERT INTO page (id, name) VALUES (40, 'Old name'), (41, '40')`);
    const t2 = await change(`UPDATE page SET name = 'New name' WHERE id = 40`);
    expect(await findId(database, page, 'New name')).toBe('40');
    expect(await findId(database, page, 'Old name')).toBe('40');
    expect(await findId(database, page, '40')).toBe('41');
    expect(await findId(database, page, '3')).toBe('3');
    expect(await findId(database, page, 'never was')).toBeUndefined();
    expect(await findIdAsOf(database, page, 'Old name', t2 - 1)).toBe('40');
    expect(await findIdAsOf(database, page, 'Old name', t2)).toBeUndefined();
  });
});

describe('a cursor', () => {
  it('comes back as the position it was made of', async () => {
    const epoch = await readEpoch(database);
    for (const position of [{ tid: 5 }, { tid: 5, resource: 'page', id: 'ü/"1"' }]) {
      expect(decodeCursor(epoch, encodeCursor(epoch, position), 10)).toEqual(position);
    }
  });

  it('that is garbage, of another database or ahead of the head is refused', () => {
    const json = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const bad = [
      '',
      '%%%',
      'abc',
      json({}),
      json(['e']),
      json(['e', -1]),
      json(['e', '5']),
      json(['e', 1, 'x']),
      json(['e', 1.5]),
    ];
    for (const cursor of bad) {
      expect(() => decodeCursor('e', cursor, 10)).toThrow(expect.objectContaining({ code: 'malformed' }));
    }
    expect(() => decodeCursor('e', encodeCursor('f', { tid: 1 }), 10)).toThrow(/another database/);
    expect(() => decodeCursor('e', encodeCursor('e', { tid: 11 }), 10)).toThrow(/ahead/);
  });
});
