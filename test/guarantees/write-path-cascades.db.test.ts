import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { changes, expectTrueJournal, head, type Lab, lab, type Session, written } from './journaled.ts';

let at: Lab;
let owner: Session;
let before: number;

const kids = ['kid_cascade', 'kid_null', 'kid_default', 'kid_twice', 'kid_deferred', 'kid_late'];

beforeAll(async () => {
  at = await lab();
  owner = at.owner;
  await owner.sql(`
    CREATE TABLE par (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);
    CREATE TABLE kid_cascade (id integer PRIMARY KEY, p integer REFERENCES par ON DELETE CASCADE ON UPDATE CASCADE, n integer DEFAULT 0);
    CREATE TABLE kid_null (id integer PRIMARY KEY, p integer REFERENCES par ON DELETE SET NULL ON UPDATE SET NULL, n integer DEFAULT 0);
    CREATE TABLE kid_default (id integer PRIMARY KEY, p integer DEFAULT 0 REFERENCES par ON DELETE SET DEFAULT ON UPDATE SET DEFAULT, n integer DEFAULT 0);
    CREATE TABLE kid_twice (id integer PRIMARY KEY, a integer REFERENCES par ON DELETE SET NULL ON UPDATE CASCADE,
      b integer REFERENCES par ON DELETE SET NULL ON UPDATE CASCADE, n integer DEFAULT 0);
    CREATE TABLE kid_deferred (id integer PRIMARY KEY, p integer REFERENCES par ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED, n integer DEFAULT 0);
    CREATE TABLE kid_late (id integer PRIMARY KEY, p integer, n integer DEFAULT 0);
    CREATE TABLE tree (id integer PRIMARY KEY, up integer REFERENCES tree ON DELETE CASCADE ON UPDATE CASCADE, n integer DEFAULT 0);
    CREATE TABLE other (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);`);
  for (const table of ['par', ...kids, 'tree', 'other'])
    await owner.sql(`SELECT tidemark.journal_table('${table}', row_version => true)`);
});
beforeEach(async () => {
  await owner.sql(
    `DELETE FROM tree; DELETE FROM other; ${kids.map((kid) => `DELETE FROM ${kid};`).join(' ')} DELETE FROM par`,
  );
  await owner.sql(`INSERT INTO par (id) VALUES (0), (1), (2), (3);
    INSERT INTO kid_cascade VALUES (1, 1), (2, 1), (3, 2); INSERT INTO kid_null VALUES (1, 1), (2, 1), (3, 2);
    INSERT INTO kid_default VALUES (1, 1), (2, 1), (3, 2); INSERT INTO kid_twice VALUES (1, 1, 1), (2, 1, 2), (3, 2, 1);
    INSERT INTO kid_deferred VALUES (1, 1), (2, 2); INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, 3), (5, NULL);
    INSERT INTO other (id) VALUES (1)`);
  before = await head(owner);
});
afterAll(() => at.close());

async function expectAllTrue(): Promise<void> {
  for (const resource of ['par', ...kids, 'tree', 'other']) await expectTrueJournal(owner, resource);
}

const tidOf = async (resource: string) => (await written(owner, resource, before)).map(({ tid }) => tid);

describe('what a foreign key does is journaled', () => {
  it('ON DELETE CASCADE, SET NULL, SET DEFAULT; two keys to one parent on one child row', async () => {
    await owner.sql('DELETE FROM par WHERE id = 1');
    expect(await changes(owner, 'kid_cascade', before)).toEqual(['DELETE 1', 'DELETE 2']);
    expect(await changes(owner, 'kid_null', before)).toEqual(['MODIFY 1', 'MODIFY 2']);
    expect(await changes(owner, 'kid_default', before)).toEqual(['MODIFY 1', 'MODIFY 2']);
    const twice = (await written(owner, 'kid_twice', before)).map(({ id, fields }) => [id, fields]);
    expect(twice).toEqual([
      ['1', { a: null, b: null }],
      ['2', { a: null }],
      ['3', { b: null }],
    ]);
    await expectAllTrue();
  });

  it('ON UPDATE CASCADE, SET NULL, SET DEFAULT, when the parent’s key changes', async () => {
    await owner.sql('UPDATE kid_deferred SET p = NULL; UPDATE par SET id = 10 WHERE id = 1');
    expect(await changes(owner, 'par', before)).toEqual(['DELETE 1', 'CREATE 10']);
    expect((await written(owner, 'kid_twice', before)).map(({ id, fields }) => [id, fields])).toEqual([
      ['1', { a: 10, b: 10 }],
      ['2', { a: 10 }],
      ['3', { b: 10 }],
    ]);
    expect((await written(owner, 'kid_default', before)).map(({ fields }) => fields)).toEqual([{ p: 0 }, { p: 0 }]);
    await expectAllTrue();
  });

  it('a chain of cascades within one table', async () => {
    await owner.sql('UPDATE tree SET id = 11 WHERE id = 1');
    expect((await changes(owner, 'tree', before)).sort()).toEqual(['CREATE 11', 'DELETE 1', 'MODIFY 2']);
    await expectAllTrue();
    await owner.sql('DELETE FROM tree WHERE id = 11');
    expect(await owner.value('SELECT count(*)::integer FROM tree')).toBe(1);
    await expectAllTrue();
  });

  it('a DEFERRABLE foreign key acts at once all the same: nothing is drawn at commit', async () => {
    await owner.sql('BEGIN; DELETE FROM par WHERE id = 2');
    const drawn = await owner.value('SELECT tid::integer FROM tidemark.drawn()');
    expect((await written(owner, 'kid_deferred', before)).map(({ tid }) => tid <= Number(drawn))).toEqual([true]);
    await owner.sql('COMMIT');
    expect(await head(owner)).toBe(drawn);
    await expectAllTrue();
  });
});

describe('a flush that cascades', () => {
  it('shares no tid with an operation that a foreign key can perform on the table', async () => {
    await owner.flush(['UPDATE other SET n = n + 1', 'DELETE FROM par WHERE id = 1', 'UPDATE kid_late SET n = 1']);
    const [flush] = await tidOf('other');
    expect(await tidOf('par')).toEqual([flush]);
    for (const kid of ['kid_cascade', 'kid_null', 'kid_default', 'kid_twice', 'kid_deferred']) {
      const [tid, ...more] = new Set(await tidOf(kid));
      expect(more).toEqual([]);
      expect(tid).toBeGreaterThan(flush as number);
    }
    await expectAllTrue();
  });

  // the CTEs of a statement run, and their triggers fire, from the last to the first
  const either = it.each([
    ['in this order', (changes: string[]) => changes],
    ['in the other', (changes: string[]) => changes.reverse()],
  ]);

  either('and changes the same table directly, under tids of its own, %s', async (_, ordered) => {
    await owner.flush(
      ordered(['UPDATE other SET n = n + 1', 'UPDATE kid_null SET n = 5 WHERE id = 3', 'DELETE FROM par WHERE id = 1']),
    );
    expect((await changes(owner, 'kid_null', before)).sort()).toEqual(['MODIFY 1', 'MODIFY 2', 'MODIFY 3']);
    const [flush] = await tidOf('other');
    expect(await tidOf('kid_null')).not.toContain(flush);
    await expectAllTrue();
  });

  either('updates and cascade-deletes the same row, %s', async (_, ordered) => {
    await owner.flush(ordered(['UPDATE kid_cascade SET n = 5', 'DELETE FROM par WHERE id = 1']));
    await expectAllTrue();
    expect(await owner.value('SELECT count(*)::integer FROM kid_cascade')).toBe(1);
  });

  it('moves children to a parent that it creates, and deletes the old one', async () => {
    await owner.flush(['INSERT INTO par (id) VALUES (7)', 'DELETE FROM par WHERE id = 3']);
    await owner.flush(['UPDATE kid_null SET p = 7 WHERE p = 1', 'UPDATE kid_cascade SET p = 7 WHERE p = 1']);
    await owner.flush(['DELETE FROM par WHERE id = 1', 'UPDATE par SET n = n + 1 WHERE id = 7']);
    expect(await owner.value('SELECT count(*)::integer FROM kid_cascade')).toBe(3);
    await expectAllTrue();
  });
});

describe('a foreign key that comes or goes later', () => {
  it('is named by table_problems() until journal_table() is called again', async () => {
    const problems = 'SELECT resource, problem FROM tidemark.table_problems()';
    const changed = {
      resource: 'kid_late',
      problem: 'it was changed and tidemark.journal_table() was not called again',
    };
    expect(await owner.sql(problems)).toEqual([]);
    await owner.sql('ALTER TABLE kid_late ADD CONSTRAINT late FOREIGN KEY (p) REFERENCES par ON DELETE CASCADE');
    expect(await owner.sql(problems)).toEqual([changed]);
    await owner.sql(`SELECT tidemark.journal_table('kid_late')`);
    expect(await owner.sql(problems)).toEqual([]);
    await owner.sql('INSERT INTO kid_late VALUES (1, 1)');
    before = await head(owner);
    await owner.flush(['UPDATE other SET n = n + 1', 'DELETE FROM par WHERE id = 1']);
    expect((await tidOf('kid_late'))[0]).not.toBe((await tidOf('other'))[0]);
    await owner.sql('ALTER TABLE kid_late DROP CONSTRAINT late');
    expect(await owner.sql(problems)).toEqual([changed]);
    await owner.sql(`SELECT tidemark.journal_table('kid_late')`);
    await expectAllTrue();
  });
});
