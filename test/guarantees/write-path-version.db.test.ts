import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectTrueJournal, head, type Lab, lab, type Session, written } from './journaled.ts';

let at: Lab;
let owner: Session;
let before: number;

beforeAll(async () => {
  at = await lab();
  owner = at.owner;
  await owner.sql(`CREATE TABLE item (id integer PRIMARY KEY, n numeric, j json, g numeric GENERATED ALWAYS AS (n * 2) STORED);
    SELECT tidemark.journal_table('item', row_version => true)`);
});
beforeEach(async () => {
  await owner.sql(`DELETE FROM item; INSERT INTO item (id, n, j) VALUES (1, 1.5, '{"a":1}'), (2, 0, NULL)`);
  before = await head(owner);
});
afterAll(() => at.close());

const versions = async () =>
  (await owner.sql('SELECT row_version::integer AS v FROM item ORDER BY id')).map(({ v }) => v);

describe('row_version', () => {
  it('begins at 1, whatever an INSERT says, and rises by one, whatever an UPDATE says', async () => {
    await owner.sql('INSERT INTO item (id, row_version) VALUES (3, 900); UPDATE item SET n = 7, row_version = 50');
    expect(await versions()).toEqual([2, 2, 2]);
    await owner.sql('UPDATE item SET row_version = 99');
    expect(await versions()).toEqual([2, 2, 2]);
  });

  it('stands still, as the journal does, when nothing changes', async () => {
    await owner.sql('UPDATE item SET n = n, j = j; UPDATE item SET row_version = 5');
    expect(await versions()).toEqual([1, 1]);
    expect(await head(owner)).toBe(before);
  });

  it('rises when only the image changes: 1.5 to 1.50, the spaces of a json', async () => {
    await owner.sql(`UPDATE item SET n = 1.50 WHERE id = 1; UPDATE item SET j = '{"a": 1}' WHERE id = 1`);
    expect(await versions()).toEqual([3, 1]);
    expect((await written(owner, 'item', before)).map(({ row_version }) => row_version)).toEqual([2, 3]);
  });

  it('is in the journal row and not in history', async () => {
    await owner.sql('UPDATE item SET n = 3 WHERE id = 1; DELETE FROM item WHERE id = 1');
    const entries = await written(owner, 'item', before);
    expect(entries.map(({ row_version, fields }) => [row_version, fields])).toEqual([
      [2, { n: 3 }],
      [null, {}],
    ]);
    await expectTrueJournal(owner, 'item');
  });

  it('counts what the row triggers of the table have made of the row', async () => {
    await owner.sql(`CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.n := new.n + 1; RETURN new; END $$;
      CREATE TRIGGER z_bump BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION bump()`);
    await owner.sql('UPDATE item SET id = id');
    await owner.sql('DROP TRIGGER z_bump ON item; DROP FUNCTION bump');
    expect(await versions()).toEqual([2, 2]);
    await expectTrueJournal(owner, 'item');
  });

  it('is counted by concurrent writers without a gap', async () => {
    const writers = await Promise.all(Array.from({ length: 6 }, () => at.session()));
    await Promise.all(
      writers.map(async (writer) => {
        for (let i = 0; i < 30; i++) await writer.sql('UPDATE item SET n = n + 1 WHERE id = 1');
      }),
    );
    expect(await versions()).toEqual([181, 1]);
    const counted = (await written(owner, 'item', before)).map(({ row_version }) => row_version);
    expect(counted).toEqual(Array.from({ length: 180 }, (_, index) => index + 2));
    await expectTrueJournal(owner, 'item');
  });

  it('can be added later, and not be taken away', async () => {
    await owner.sql(
      `CREATE TABLE later (id integer PRIMARY KEY, n integer); SELECT tidemark.journal_table('later'); INSERT INTO later VALUES (1, 1)`,
    );
    before = await head(owner);
    await owner.sql(`SELECT tidemark.journal_table('later', row_version => true)`);
    expect(await head(owner)).toBe(before);
    await owner.sql('UPDATE later SET n = 2');
    expect((await written(owner, 'later', before)).map(({ row_version }) => row_version)).toEqual([2]);
    expect(await owner.refusal(`SELECT tidemark.journal_table('later', row_version => false)`)).toMatch(
      /^55000 .*has a row_version/,
    );
    await expectTrueJournal(owner, 'later');
  });

  it('takes over a bigint column of that name, and refuses one of another type', async () => {
    await owner.sql(`CREATE TABLE had (id integer PRIMARY KEY, row_version bigint); SELECT tidemark.journal_table('had');
      INSERT INTO had VALUES (1, 41), (2, NULL)`);
    expect((await written(owner, 'had'))[0]?.fields).toEqual({ id: 1, row_version: 41 });
    await owner.sql(`SELECT tidemark.journal_table('had', row_version => true); UPDATE had SET id = id + 10`);
    expect(await owner.sql('SELECT row_version::integer AS v FROM had ORDER BY id')).toEqual([{ v: 42 }, { v: 1 }]);
    await expectTrueJournal(owner, 'had');
    await owner.sql('CREATE TABLE texted (id integer PRIMARY KEY, row_version text)');
    expect(await owner.refusal(`SELECT tidemark.journal_table('texted', row_version => true)`)).toMatch(
      /^42804 .*must be bigint/,
    );
  });
});
