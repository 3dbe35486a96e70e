import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { changes, expectTrueJournal, head, type Lab, lab, type Session, written } from './journaled.ts';

let at: Lab;
let owner: Session;

beforeAll(async () => {
  at = await lab();
  owner = at.owner;
  await owner.sql(`
    CREATE TABLE plain (id integer PRIMARY KEY, n integer, name text);
    SELECT tidemark.journal_table('plain');
    GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON plain TO tidemark_app`);
});
afterAll(() => at.close());

describe('a table that cannot be journaled truly is refused, with the reason', () => {
  it.each([
    ['no primary key', 'CREATE TABLE t (id integer)', 'it has no primary key'],
    ['a unique key in place of a primary key', 'CREATE TABLE t (id integer UNIQUE NOT NULL)', 'it has no primary key'],
    [
      'a DEFERRABLE primary key',
      'CREATE TABLE t (id integer PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)',
      'its primary key is DEFERRABLE',
    ],
    [
      'one INITIALLY IMMEDIATE',
      'CREATE TABLE t (id integer PRIMARY KEY DEFERRABLE INITIALLY IMMEDIATE)',
      'its primary key is DEFERRABLE',
    ],
    ['unlogged', 'CREATE UNLOGGED TABLE t (id integer PRIMARY KEY)', 'it is unlogged'],
    ['temporary', 'CREATE TEMP TABLE t (id integer PRIMARY KEY)', 'it is temporary'],
    [
      'partitioned',
      'CREATE TABLE t (id integer PRIMARY KEY) PARTITION BY RANGE (id)',
      'it is partitioned: a direct write',
    ],
    [
      'a partition',
      `CREATE TABLE whole (id integer PRIMARY KEY) PARTITION BY RANGE (id);
        CREATE TABLE t PARTITION OF whole FOR VALUES FROM (1) TO (9)`,
      'it is a partition',
    ],
    [
      'a parent by inheritance',
      'CREATE TABLE t (id integer PRIMARY KEY); CREATE TABLE child () INHERITS (t)',
      'it takes part in inheritance',
    ],
    [
      'a child by inheritance',
      'CREATE TABLE parent (id integer); CREATE TABLE t (PRIMARY KEY (id)) INHERITS (parent)',
      'it takes part in inheritance',
    ],
    [
      'FORCE ROW LEVEL SECURITY',
      'CREATE TABLE t (id integer PRIMARY KEY); ALTER TABLE t FORCE ROW LEVEL SECURITY',
      'FORCE ROW LEVEL SECURITY would hide rows',
    ],
    ['a view', 'CREATE VIEW t AS SELECT 1 AS id', 'it is not an ordinary table'],
    ['a materialized view', 'CREATE MATERIALIZED VIEW t AS SELECT 1 AS id', 'it is not an ordinary table'],
    ['a sequence', 'CREATE SEQUENCE t', 'it is not an ordinary table'],
    [
      'a name too long for the journal’s',
      `CREATE TABLE ${'t'.repeat(56)} (id integer PRIMARY KEY)`,
      'its name is longer than 55 bytes',
      't'.repeat(56),
    ],
  ])('%s', async (_, create, reason, name = 't') => {
    await owner.sql(`BEGIN; ${create}`);
    expect(await owner.refusal(`SELECT tidemark.journal_table('${name}')`)).toMatch(
      new RegExp(`^55000 .*${name} cannot be journaled: ${reason}`),
    );
    expect(await owner.sql(`SELECT to_regclass('${name}_journal') AS journal`)).toEqual([{ journal: null }]);
  });

  it('the journal itself, the kernel’s own tables, the system’s', async () => {
    for (const table of ['plain_journal', 'plain_history', 'tidemark.processes', 'pg_catalog.pg_class'])
      expect(await owner.refusal(`SELECT tidemark.journal_table('${table}')`)).toMatch(/^55000 .*cannot be journaled/);
  });

  it('a table that does not exist', async () => {
    expect(await owner.refusal(`SELECT tidemark.journal_table('nowhere')`)).toMatch(/^42P01 .*"nowhere"/);
  });

  it('a table whose journal’s name is taken by another table', async () => {
    await owner.sql('BEGIN; CREATE TABLE t (id integer PRIMARY KEY); CREATE TABLE t_history (id integer)');
    expect(await owner.refusal(`SELECT tidemark.journal_table('t')`)).toMatch(
      /^42P07 there is a table public.t_history already/,
    );
  });

  it('what makes a journaled table unfit later is named by table_problems()', async () => {
    const found = async (ddl: string) => {
      await owner.sql(`BEGIN; ${ddl}`);
      const rows = await owner.sql('SELECT problem FROM tidemark.table_problems()');
      await owner.sql('ROLLBACK');
      return rows.map(({ problem }) => problem);
    };
    expect(await found('ALTER TABLE plain FORCE ROW LEVEL SECURITY')).toEqual([
      'it can no longer be journaled: FORCE ROW LEVEL SECURITY would hide rows from the journal',
    ]);
    expect((await found('CREATE TABLE child () INHERITS (plain)'))[0]).toMatch(/inheritance/);
    expect(await found('ALTER TABLE plain DISABLE TRIGGER tidemark_update')).toEqual([
      'trigger tidemark_update is not ENABLE ALWAYS',
    ]);
    expect(await found('ALTER TABLE plain ENABLE TRIGGER tidemark_update')).toHaveLength(1);
    expect(await found('DROP TRIGGER tidemark_truncate ON plain')).toEqual(['trigger tidemark_truncate is missing']);
    expect(await found('DROP TABLE plain')).toEqual(['the table is gone']);
    expect(await found('GRANT INSERT ON plain_history TO tidemark_app')).toEqual([
      'tidemark_app may write to public.plain_history',
    ]);
    expect(
      await found(
        `CREATE OR REPLACE FUNCTION tidemark.journal_plain() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
      ),
    ).toEqual(['it was changed and tidemark.journal_table() was not called again']);
    expect(await found('SELECT 1')).toEqual([]);
  });
});

describe('nothing escapes', () => {
  it('COPY, an updatable view, a rule', async () => {
    await owner.sql(`CREATE VIEW few AS SELECT id, name FROM plain WHERE id < 100;
      CREATE VIEW ruled AS SELECT id, name FROM plain;
      CREATE RULE write AS ON INSERT TO ruled DO INSTEAD INSERT INTO plain (id, name) VALUES (new.id, new.name)`);
    const before = await head(owner);
    await owner.sql(`COPY plain FROM PROGRAM 'printf "1\\t10\\tone\\n2\\t20\\ttwo\\n"'`);
    await owner.sql(`UPDATE few SET name = 'uno' WHERE id = 1`);
    await owner.sql(`INSERT INTO ruled VALUES (3, 'three')`);
    await owner.sql('DELETE FROM few WHERE id = 2');
    expect(await changes(owner, 'plain', before)).toEqual([
      ...['CREATE 1', 'CREATE 2', 'MODIFY 1', 'CREATE 3', 'DELETE 2'],
    ]);
    await expectTrueJournal(owner, 'plain');
  });

  it('session_replication_role = replica', async () => {
    const before = await head(owner);
    await owner.sql(
      `SET session_replication_role = replica; INSERT INTO plain VALUES (10); UPDATE plain SET n = 3 WHERE id = 10`,
    );
    expect(await owner.refusal('TRUNCATE plain')).toMatch(
      /^55000 TRUNCATE of the journaled table public.plain is refused/,
    );
    await owner.sql('RESET session_replication_role');
    expect(await changes(owner, 'plain', before)).toEqual(['CREATE 10', 'MODIFY 10']);
  });

  it('TRUNCATE is refused, also by CASCADE, also with the right to do it', async () => {
    await owner.sql(
      'CREATE TABLE parent (id integer PRIMARY KEY); ALTER TABLE plain ADD FOREIGN KEY (n) REFERENCES parent NOT VALID',
    );
    for (const statement of ['TRUNCATE plain', 'TRUNCATE parent CASCADE'])
      expect(await owner.refusal(statement)).toMatch(/^55000 TRUNCATE of the journaled table public.plain is refused/);
    expect(await at.app.refusal('TRUNCATE plain')).toMatch(/^55000 /);
    await owner.sql('ALTER TABLE plain DROP CONSTRAINT plain_n_fkey');
  });

  it('row level security hides nothing from the journal', async () => {
    await owner.sql(`CREATE TABLE secret (id integer PRIMARY KEY, mine boolean, n integer DEFAULT 0);
      SELECT tidemark.journal_table('secret'); GRANT SELECT, INSERT, UPDATE, DELETE ON secret TO tidemark_app;
      ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
      CREATE POLICY seen ON secret FOR SELECT USING (mine); CREATE POLICY made ON secret FOR INSERT WITH CHECK (true);
      CREATE POLICY changed ON secret FOR UPDATE USING (true); CREATE POLICY gone ON secret FOR DELETE USING (true)`);
    await at.app.sql(`INSERT INTO secret VALUES (1, true), (2, false)`);
    await at.app.sql(`UPDATE secret SET n = 1`);
    await at.app.sql(`DELETE FROM secret`);
    expect(await changes(owner, 'secret')).toEqual([
      ...['CREATE 1', 'CREATE 2', 'MODIFY 1', 'MODIFY 2', 'DELETE 1', 'DELETE 2'],
    ]);
    await expectTrueJournal(owner, 'secret');
    expect(await at.app.refusal(`SELECT * FROM tidemark.drift('secret')`)).toMatch(/^42501 .*row-level security/);
  });

  it('rows that existed before are journaled as CREATE with the comment baseline', async () => {
    await owner.sql(`CREATE TABLE old (id integer PRIMARY KEY, n integer); INSERT INTO old VALUES (1, NULL), (2, 5);
      SELECT tidemark.journal_table('old')`);
    const entries = await written(owner, 'old');
    expect(entries.map(({ id, change, comment, fields }) => [id, change, comment, fields])).toEqual([
      ['1', 'CREATE', 'baseline', { id: 1 }],
      ['2', 'CREATE', 'baseline', { id: 2, n: 5 }],
    ]);
    expect(new Set(entries.map(({ tid }) => tid)).size).toBe(1);
    const before = await head(owner);
    await owner.sql(`SELECT tidemark.journal_table('old'); SELECT tidemark.journal_table('old', 'old')`);
    expect(await head(owner)).toBe(before);
    await expectTrueJournal(owner, 'old');
  });

  it('journal_table() waits for writers, and misses nothing of what they did meanwhile', async () => {
    await owner.sql(`CREATE TABLE busy (id integer PRIMARY KEY)`);
    const [writer, migration] = [await at.session(), await at.session()];
    await writer.sql('BEGIN; INSERT INTO busy VALUES (1)');
    const done = migration.sql(`SELECT tidemark.journal_table('busy')`);
    await migration.waits(owner);
    await writer.sql('INSERT INTO busy VALUES (2); COMMIT');
    await done;
    expect(await changes(owner, 'busy')).toEqual(['CREATE 1', 'CREATE 2']);
  });

  it('a value too large for jsonb fails the write: no change without its journal', async () => {
    if (process.env['TIDEMARK_TEST_LONG'] !== '1') return; // needs a gigabyte
    const tooLong = `INSERT INTO plain SELECT 50, 1, repeat('x', 268435456)`;
    const before = await head(owner);
    expect(await owner.refusal(tooLong)).toMatch(/^54000 string too long to represent as jsonb string/);
    expect(await changes(owner, 'plain', before)).toEqual([]);
    await expectTrueJournal(owner, 'plain');
  });
});
