import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { changes, expectTrueJournal, head, type Lab, lab, type Session, written } from './journaled.ts';

let at: Lab;
let app: Session;
let owner: Session;
let importer: Session;
let before: number;

beforeAll(async () => {
  at = await lab();
  ({ app, owner } = at);
  await owner.sql(`CREATE TABLE item (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);
    SELECT tidemark.journal_table('item', row_version => true);
    GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES ON item TO tidemark_app;
    GRANT CREATE ON SCHEMA public TO tidemark_app; INSERT INTO item VALUES (1), (2)`);
  importer = await at.session();
  await importer.sql('SET ROLE tidemark_importer');
});
beforeEach(async () => {
  before = await head(owner);
});
afterAll(() => at.close());

const JOURNALS = ['item_journal', 'item_history', 'tidemark.journal', 'tidemark.history'];

/** What the program's role may not do, though it may write the model tables and even create tables of its own. */
const REFUSED: [what: string, statement: string][] = [
  [
    'a foreign key to the journal',
    'CREATE TABLE f (tid bigint, id text, FOREIGN KEY (tid, id) REFERENCES item_journal)',
  ],
  ...JOURNALS.flatMap((table): [string, string][] => [
    [`INSERT into ${table}`, `INSERT INTO ${table} SELECT * FROM ${table} LIMIT 1`],
    [`UPDATE ${table}`, `UPDATE ${table} SET id = 'x'`],
    [`UPDATE ${table} of nothing`, `UPDATE ${table} SET id = id WHERE false`],
    [`DELETE FROM ${table}`, `DELETE FROM ${table}`],
    [`TRUNCATE ${table}`, `TRUNCATE ${table}`],
    [`SELECT FOR UPDATE on ${table}`, `SELECT * FROM ${table} FOR UPDATE`],
    [`SELECT FOR KEY SHARE on ${table}`, `SELECT * FROM ${table} FOR KEY SHARE`],
    [`LOCK ${table}`, `LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`],
    [`COPY into ${table}`, `COPY ${table} FROM STDIN`],
    [`MERGE into ${table}`, `MERGE INTO ${table} j USING (SELECT 1 AS one) s ON j.id = 'x' WHEN MATCHED THEN DELETE`],
    [
      `a trigger on ${table}`,
      `CREATE TRIGGER t AFTER INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
    ],
    [`a rule on ${table}`, `CREATE RULE r AS ON INSERT TO ${table} DO INSTEAD NOTHING`],
    [`a policy on ${table}`, `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`],
    [`DROP ${table}`, `DROP TABLE ${table} CASCADE`],
    [`ALTER ${table}`, `ALTER TABLE ${table} ADD COLUMN x integer`],
  ]),
  ['a partition of its own', `CREATE TABLE mine PARTITION OF tidemark.journal FOR VALUES IN ('mine')`],
  [
    'attaching a partition',
    `CREATE TABLE mine (LIKE tidemark.journal); ALTER TABLE tidemark.journal ATTACH PARTITION mine FOR VALUES IN ('mine')`,
  ],
  ['detaching one', 'ALTER TABLE tidemark.journal DETACH PARTITION item_journal'],
  ['nextval', `SELECT nextval('tidemark.tid')`],
  ['setval', `SELECT setval('tidemark.tid', 1)`],
  ['setval upwards', `SELECT setval('tidemark.tid', 1000000)`],
  ['currval', `SELECT currval('tidemark.tid')`],
  ['reading the sequence', 'SELECT last_value FROM tidemark.tid'],
  ['ALTER SEQUENCE', 'ALTER SEQUENCE tidemark.tid RESTART'],
  [
    'a column of its own that draws tids',
    `CREATE TABLE mine (id bigint DEFAULT nextval('tidemark.tid')); INSERT INTO mine DEFAULT VALUES`,
  ],
  ['draw_tid()', 'SELECT tidemark.draw_tid()'],
  ['stamp()', `SELECT tidemark.stamp(true, 1, 'item')`],
  ['journal_table()', `SELECT tidemark.journal_table('item')`],
  [
    'journal_table() of a table of its own',
    `CREATE TABLE mine (id integer PRIMARY KEY); SELECT tidemark.journal_table('mine')`,
  ],
  ['journal_difference()', `SELECT tidemark.journal_difference(r, 'x', NULL) FROM tidemark.resources r`],
  ['attach_triggers()', `SELECT tidemark.attach_triggers(r) FROM tidemark.resources r`],
  ['add_partition()', `SELECT tidemark.add_partition('tidemark.journal', 'tid, id', 'public', 'x', 'x')`],
  ['withdraw()', `SELECT tidemark.withdraw('TABLE item', NULL)`],
  ['the trigger function, called', 'SELECT tidemark.journal_item()'],
  [
    'the trigger function on a temporary table, which would forge a journal row',
    `CREATE TEMP TABLE item (id integer PRIMARY KEY, n integer, row_version bigint);
      CREATE TRIGGER forge AFTER INSERT ON pg_temp.item REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tidemark.journal_item()`,
  ],
  [
    'the trigger function on a table of its own',
    `CREATE TABLE mine (id integer PRIMARY KEY, n integer, row_version bigint);
      CREATE TRIGGER forge AFTER INSERT ON mine REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tidemark.journal_item()`,
  ],
  [
    'the version function on a table of its own',
    'CREATE TABLE mine (id integer); CREATE TRIGGER v BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION tidemark.version_item()',
  ],
  ['ALTER TABLE … DISABLE TRIGGER', 'ALTER TABLE item DISABLE TRIGGER tidemark_update'],
  ['ALTER TABLE … DISABLE TRIGGER ALL', 'ALTER TABLE item DISABLE TRIGGER ALL'],
  ['DROP TRIGGER', 'DROP TRIGGER tidemark_update ON item'],
  [
    'replacing a trigger',
    'CREATE OR REPLACE TRIGGER tidemark_update AFTER UPDATE ON item FOR EACH STATEMENT EXECUTE FUNCTION suppress_redundant_updates_trigger()',
  ],
  [
    'replacing the trigger function',
    `CREATE OR REPLACE FUNCTION tidemark.journal_item() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
  ],
  ['a function in the kernel’s schema', `CREATE FUNCTION tidemark.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'`],
  ['ALTER FUNCTION', `ALTER FUNCTION tidemark.journal_item() SET session_replication_role = 'replica'`],
  ['TRUNCATE of a model table', 'TRUNCATE item'],
  ['session_replication_role', 'SET session_replication_role = replica'],
  ['reading all of epoch', 'SELECT * FROM tidemark.epoch'],
  ['a new epoch', `UPDATE tidemark.epoch SET epoch = 'mine'`],
  ['renewing the epoch', 'SELECT tidemark.renew_epoch()'],
  ['keeping the epoch', 'SELECT tidemark.keep_epoch()'],
  ['taking a resource out of the list', 'DELETE FROM tidemark.resources'],
  ['inheriting from a journaled table', 'CREATE TABLE child () INHERITS (item)'],
  ['adding a column', 'ALTER TABLE item ADD COLUMN x integer'],
  ['becoming the importer', 'SET ROLE tidemark_importer'],
];

describe('the program’s role is refused', () => {
  it.each(REFUSED)('%s', async (_, statement) => {
    await app.sql('BEGIN');
    expect(await app.refusal(statement)).toMatch(
      /^(42501|0A000|55000) .*(permission denied|must be owner|must be able to SET ROLE|is refused|refused)/,
    );
    expect(await head(owner)).toBe(before);
    await expectTrueJournal(owner, 'item');
  });

  it('GRANT of what it does not hold gives nothing', async () => {
    await app.client.query('GRANT INSERT ON item_journal TO tidemark_app').catch(() => undefined);
    await app.client.query('GRANT INSERT ON item_journal TO PUBLIC').catch(() => undefined);
    expect(await app.refusal('INSERT INTO item_journal DEFAULT VALUES')).toMatch(/^42501 /);
  });

  it('a time of its own, or muted effects, in the actor', async () => {
    for (const actor of [
      { time: '2001-01-01T00:00:00Z' },
      { meta: { effects: false } },
      { time: 'infinity', meta: { effects: false } },
    ]) {
      const text = JSON.stringify({ author: 'ann', flush: 'f', ...actor });
      const change = `WITH a AS (UPDATE item SET n = n + 1) SELECT set_config('tidemark.actor', $1, true)`;
      expect(await app.refusal(change, [text])).toMatch(/^42501 only the importer and the owner may set the time/);
    }
    await app.flush(['UPDATE item SET n = n + 1 WHERE id = 1'], { meta: { effects: true }, time: null });
    expect(await changes(owner, 'item', before)).toEqual(['MODIFY 1']);
  });
});

describe('the program’s role may', () => {
  it('write the model, read journal, history, drift, problems and frontier', async () => {
    await app.sql('UPDATE item SET n = 5 WHERE id = 2');
    for (const read of [
      'SELECT * FROM tidemark.journal',
      'SELECT * FROM tidemark.history',
      'SELECT * FROM item_journal',
      'SELECT epoch, created FROM tidemark.epoch',
      'SELECT tidemark.current_epoch(), tidemark.settle_epoch()',
      'SELECT * FROM tidemark.resources',
      'SELECT * FROM tidemark.frontier()',
      'SELECT tidemark.safe_tid()',
      'SELECT * FROM tidemark.drawn()',
      `SELECT * FROM tidemark.fold('item')`,
      `SELECT * FROM tidemark.drift('item')`,
      'SELECT * FROM tidemark.table_problems()',
      'SELECT tidemark.expect(1, $$never$$)',
    ])
      await app.sql(read);
  });

  it('not by SECURITY DEFINER in its own name: such a function has no more rights than its owner', async () => {
    await app.sql(
      `CREATE FUNCTION mine() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT nextval('tidemark.tid') $$`,
    );
    expect(await app.refusal('SELECT mine()')).toMatch(/^42501 /);
  });
});

describe('importer and owner', () => {
  it.each(['importer', 'owner'] as const)('the %s may set the time and mute effects', async (who) => {
    const session = who === 'owner' ? owner : importer;
    await session.flush(['UPDATE item SET n = n + 1 WHERE id = 1'], {
      time: '2001-02-03T04:05:06.000007Z',
      meta: { effects: false },
    });
    const [entry] = await owner.sql(
      `SELECT time = '2001-02-03T04:05:06.000007Z' AS taken, meta FROM item_journal WHERE tid > $1`,
      [before],
    );
    expect(entry).toEqual({ taken: true, meta: { effects: false } });
  });

  it('the importer is otherwise as bound as the program', async () => {
    for (const statement of [
      'DELETE FROM item_journal',
      `SELECT nextval('tidemark.tid')`,
      'SELECT tidemark.draw_tid()',
    ]) {
      await importer.sql('BEGIN');
      expect(await importer.refusal(statement)).toMatch(/^42501 /);
    }
  });

  it('what the owner does to the journal by hand is found by drift()', async () => {
    await owner.sql(`BEGIN; UPDATE item_history SET value = '77' WHERE field = 'n' AND id = '2'`);
    expect(await owner.sql(`SELECT id, field FROM tidemark.drift('item')`)).toEqual([{ id: '2', field: 'n' }]);
    await owner.sql('ROLLBACK');
    await owner.sql(
      `BEGIN; ALTER TABLE item DISABLE TRIGGER tidemark_delete; DELETE FROM item WHERE id = 2; INSERT INTO item VALUES (3)`,
    );
    expect(await owner.sql(`SELECT id, field FROM tidemark.drift('item')`)).toEqual([{ id: '2', field: null }]);
    await owner.sql('ROLLBACK');
    expect((await written(owner, 'item', before)).length).toBe(0);
  });
});

describe('rights that the database gives away by default', () => {
  it('the right TRIGGER would let a role replace a trigger: it is taken away, and named where it is given again', async () => {
    await owner.sql(
      `CREATE TABLE lent (id integer PRIMARY KEY); GRANT ALL ON lent TO tidemark_app; SELECT tidemark.journal_table('lent')`,
    );
    const replace = `CREATE OR REPLACE TRIGGER tidemark_insert AFTER INSERT ON lent FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`;
    expect(await app.refusal(replace)).toMatch(/^42501 /);
    await owner.sql('GRANT TRIGGER ON lent TO tidemark_app');
    await app.sql(replace);
    expect(await owner.sql('SELECT problem FROM tidemark.table_problems()')).toEqual([
      { problem: 'trigger tidemark_insert is not ENABLE ALWAYS' },
      { problem: 'tidemark_app has the right TRIGGER on it and could replace its triggers' },
    ]);
    await owner.sql('ALTER TABLE lent ENABLE ALWAYS TRIGGER tidemark_insert');
    expect((await owner.sql('SELECT problem FROM tidemark.table_problems()'))[0]).toEqual({
      problem: 'trigger tidemark_insert is another one',
    });
    await owner.sql(`SELECT tidemark.journal_table('lent')`);
    expect(await owner.sql('SELECT problem FROM tidemark.table_problems()')).toEqual([]);
  });

  it('do not reach journal tables and trigger functions', async () => {
    await owner.sql(`ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO tidemark_app, PUBLIC;
      ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO tidemark_app, PUBLIC;
      CREATE TABLE given (id integer PRIMARY KEY); SELECT tidemark.journal_table('given', row_version => true)`);
    await app.sql('INSERT INTO given VALUES (1)');
    for (const table of ['given_journal', 'given_history'])
      for (const statement of [`DELETE FROM ${table}`, `INSERT INTO ${table} DEFAULT VALUES`, `TRUNCATE ${table}`])
        expect(await app.refusal(statement)).toMatch(/^42501 /);
    expect(await app.refusal('SELECT tidemark.journal_given()')).toMatch(/^42501 /);
    expect(await owner.sql('SELECT * FROM tidemark.table_problems()')).toEqual([]);
  });
});
