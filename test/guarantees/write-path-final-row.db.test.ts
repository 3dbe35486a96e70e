import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { changes, expectTrueJournal, head, type Lab, lab, type Session, written } from './journaled.ts';

let at: Lab;
let owner: Session;
let before: number;

beforeAll(async () => {
  at = await lab();
  owner = at.owner;
  await owner.sql(`
    CREATE TABLE item (id integer PRIMARY KEY, name text, n integer DEFAULT 0, note json);
    SELECT tidemark.journal_table('item', row_version => true)`);
});
beforeEach(async () => {
  await owner.sql('DELETE FROM item');
  await owner.sql(`INSERT INTO item (id, name) VALUES (1, 'one'), (2, 'two')`);
  before = await head(owner);
});
afterAll(() => at.close());

describe('what is journaled is the row as it stands in the end, not the transition image', () => {
  it('DELETE … RETURNING into INSERT of the same key leaves a living row, in the journal too', async () => {
    await owner.sql(`WITH d AS (DELETE FROM item WHERE id = 1 RETURNING *)
      INSERT INTO item (id, name) SELECT id, name || ' again' FROM d`);
    expect(await changes(owner, 'item', before)).toEqual(['CREATE 1']);
    await expectTrueJournal(owner, 'item');
  });

  it('the same, named as a flush', async () => {
    const move = `WITH d AS (DELETE FROM item WHERE id = 1 RETURNING *),
        i AS (INSERT INTO item (id, name) SELECT id, name || ' again' FROM d)
      SELECT set_config('tidemark.actor', '{"flush": "f"}', true)`;
    await owner.sql(move);
    expect(await changes(owner, 'item', before)).toEqual(['CREATE 1']);
    await expectTrueJournal(owner, 'item');
  });

  it('a row trigger that writes the new row again is journaled, and the fold is the last state', async () => {
    await owner.sql(`
      CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE item SET n = n + 10 WHERE id = new.id; RETURN NULL; END $$;
      CREATE TRIGGER again AFTER INSERT OR UPDATE OF name ON item FOR EACH ROW EXECUTE FUNCTION again()`);
    await owner.sql(`INSERT INTO item (id, name) VALUES (3, 'three')`);
    await owner.sql(`UPDATE item SET name = upper(name)`);
    await owner.flush([`UPDATE item SET name = name || '!' WHERE id < 3`]);
    await owner.sql(`DROP TRIGGER again ON item; DROP FUNCTION again`);
    expect(await owner.value(`SELECT string_agg(name || n, ' ' ORDER BY id) FROM item`)).toBe('ONE!20 TWO!20 THREE20');
    await expectTrueJournal(owner, 'item');
  });

  it('a statement trigger that takes the new row away again leaves no living row', async () => {
    await owner.sql(`
      CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM item WHERE name = 'unwanted'; RETURN NULL; END $$;
      CREATE TRIGGER away AFTER INSERT ON item FOR EACH STATEMENT EXECUTE FUNCTION away()`);
    await owner.sql(`INSERT INTO item (id, name) VALUES (3, 'unwanted'), (4, 'wanted')`);
    await owner.sql(`DROP TRIGGER away ON item; DROP FUNCTION away`);
    expect(await changes(owner, 'item', before)).toEqual(['DELETE 3', 'CREATE 4']);
    await expectTrueJournal(owner, 'item');
  });

  it('a BEFORE trigger decides what is journaled; one that refuses the row leaves no trace', async () => {
    await owner.sql(`
      CREATE FUNCTION first() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF new.name = 'no' THEN RETURN NULL; END IF; new.name := trim(new.name); RETURN new; END $$;
      CREATE TRIGGER first BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION first()`);
    await owner.sql(`UPDATE item SET name = CASE id WHEN 1 THEN 'no' ELSE '  trimmed ' END`);
    await owner.sql(`DROP TRIGGER first ON item; DROP FUNCTION first`);
    const entries = await written(owner, 'item', before);
    expect(entries.map(({ id, fields }) => [id, fields])).toEqual([['2', { name: 'trimmed' }]]);
    await expectTrueJournal(owner, 'item');
  });

  it('a BEFORE trigger that writes another journaled row draws that change a tid of its own, also in a flush', async () => {
    await owner.sql(`
      CREATE FUNCTION beside() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE item SET n = n + 1 WHERE id = 2; RETURN new; END $$;
      CREATE TRIGGER beside BEFORE UPDATE OF name ON item FOR EACH ROW WHEN (new.id = 1) EXECUTE FUNCTION beside()`);
    await owner.flush([`UPDATE item SET name = 'uno' WHERE id = 1`]);
    await owner.sql(`DROP TRIGGER beside ON item; DROP FUNCTION beside`);
    const entries = await written(owner, 'item', before);
    expect(entries.map(({ id, change }) => `${change} ${id}`)).toEqual(['MODIFY 2', 'MODIFY 1']);
    expect(new Set(entries.map(({ tid }) => tid)).size).toBe(2);
    await expectTrueJournal(owner, 'item');
  });

  it('a row that two CTEs of a flush change keeps the first change, and the journal agrees with the table', async () => {
    await owner.flush([
      `UPDATE item SET name = 'a' WHERE id = 1 RETURNING 1`,
      `UPDATE item SET n = 7 WHERE id = 1 RETURNING 1`,
    ]);
    expect(await changes(owner, 'item', before)).toEqual(['MODIFY 1']);
    await expectTrueJournal(owner, 'item');
  });

  it('a CTE that inserts the key another one deletes is an error, and nothing is done', async () => {
    const both = `WITH d AS (DELETE FROM item WHERE id = 1), i AS (INSERT INTO item (id) VALUES (1)) SELECT 1`;
    expect(await owner.refusal(both)).toMatch(/^23505 /);
    expect(await head(owner)).toBe(before);
    await expectTrueJournal(owner, 'item');
  });

  it('in REPEATABLE READ a key that another session has deleted since is journaled as what this one inserts', async () => {
    const other = await at.session();
    await owner.sql('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM item');
    await other.sql('DELETE FROM item WHERE id = 1');
    await owner.sql(`INSERT INTO item (id, name) VALUES (1, 'new life')`);
    await owner.sql(`UPDATE item SET n = 5 WHERE name = 'new life'`);
    await owner.sql('COMMIT');
    expect(await changes(owner, 'item', before)).toEqual(['DELETE 1', 'CREATE 1', 'MODIFY 1']);
    await expectTrueJournal(owner, 'item');
  });

  it('and a DELETE of only that new row is journaled, though the snapshot still shows the old one', async () => {
    const other = await at.session();
    await owner.sql('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM item');
    await other.sql('DELETE FROM item WHERE id = 1');
    await owner.sql(`INSERT INTO item (id, name) VALUES (1, 'new life')`);
    await owner.sql('SAVEPOINT inner_one');
    await owner.sql(`UPDATE item SET n = 5 WHERE name = 'new life'`);
    await owner.sql(`DELETE FROM item WHERE name = 'new life'`);
    await owner.sql('COMMIT');
    expect((await changes(owner, 'item', before)).at(-1)).toBe('DELETE 1');
    await expectTrueJournal(owner, 'item');
  });
});

describe('every way of writing is journaled alike', () => {
  it('ON CONFLICT DO UPDATE, one CREATE and one MODIFY, each kind under its own tid', async () => {
    await owner.sql(`INSERT INTO item (id, name) VALUES (2, 'deux'), (3, 'trois')
      ON CONFLICT (id) DO UPDATE SET name = excluded.name`);
    const entries = await written(owner, 'item', before);
    expect(entries.map(({ change, id }) => `${change} ${id}`).sort()).toEqual(['CREATE 3', 'MODIFY 2']);
    expect(new Set(entries.map(({ tid }) => tid)).size).toBe(2);
    await expectTrueJournal(owner, 'item');
  });

  it('named as a flush, ON CONFLICT DO UPDATE has one tid', async () => {
    await owner.flush([
      `INSERT INTO item (id, name) VALUES (2, 'deux'), (3, 'trois') ON CONFLICT (id) DO UPDATE SET name = excluded.name`,
    ]);
    const entries = await written(owner, 'item', before);
    expect(entries.map(({ change, id }) => `${change} ${id}`)).toEqual(['MODIFY 2', 'CREATE 3']);
    expect(new Set(entries.map(({ tid }) => tid)).size).toBe(1);
  });

  it('ON CONFLICT DO NOTHING that meets a row journals nothing and draws no tid', async () => {
    await owner.sql(`INSERT INTO item (id) VALUES (1) ON CONFLICT DO NOTHING`);
    expect(await head(owner)).toBe(before);
  });

  it('MERGE with its three actions', async () => {
    await owner.sql(`MERGE INTO item t USING (VALUES (1, 'x'), (2, ''), (3, 'three')) s(id, name) ON t.id = s.id
      WHEN MATCHED AND s.name = '' THEN DELETE WHEN MATCHED THEN UPDATE SET name = s.name
      WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name)`);
    expect((await changes(owner, 'item', before)).sort()).toEqual(['CREATE 3', 'DELETE 2', 'MODIFY 1']);
    await expectTrueJournal(owner, 'item');
  });

  it('MERGE … WHEN NOT MATCHED BY SOURCE, where the server has it (17 and later)', async () => {
    if (at.major < 17) return;
    await owner.sql(`MERGE INTO item t USING (VALUES (1)) s(id) ON t.id = s.id
      WHEN MATCHED THEN UPDATE SET n = 3 WHEN NOT MATCHED BY SOURCE THEN DELETE`);
    expect((await changes(owner, 'item', before)).sort()).toEqual(['DELETE 2', 'MODIFY 1']);
    await expectTrueJournal(owner, 'item');
  });

  it('a statement that changes nothing journals nothing and draws no tid', async () => {
    await owner.sql(`UPDATE item SET name = name, note = note`);
    await owner.sql(`UPDATE item SET name = 'x' WHERE id = 99`);
    await owner.sql(`DELETE FROM item WHERE id = 99`);
    await owner.sql(`INSERT INTO item SELECT * FROM item WHERE false`);
    await owner.flush([`UPDATE item SET n = n`]);
    expect(await head(owner)).toBe(before);
    expect(await changes(owner, 'item', before)).toEqual([]);
  });

  it('a rolled-back change leaves no journal row', async () => {
    await owner.sql(`BEGIN; UPDATE item SET n = 9; ROLLBACK`);
    expect(await changes(owner, 'item', before)).toEqual([]);
    await expectTrueJournal(owner, 'item');
  });
});
