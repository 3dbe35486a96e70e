import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { sql } from 'kysely';
import { Database, KernelError, translate } from '#libs/database';
import { type OwnServer, ownServer } from '../support/own-server.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

let test: TestDatabase;
let database: Database;

beforeAll(async () => {
  test = await testDatabase();
  database = Database.open({ url: test.ownerUrl, poolSize: 2, applicationName: 'the test' });
});

afterAll(async () => {
  await database.close();
  await test.drop();
});

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => translate(error),
  );

describe('a database', () => {
  it('reads bigint as a number where that is exact, else as its digits', async () => {
    const { rows } = await database.query(
      'SELECT 42::bigint AS small, 9007199254740991::bigint AS largest, 9007199254740992::bigint AS beyond, -9223372036854775808 AS lowest',
    );
    expect(rows).toEqual([
      { small: 42, largest: 9007199254740991, beyond: '9007199254740992', lowest: '-9223372036854775808' },
    ]);
  });

  it('reads a timestamp as a Date, and numeric and JSON as they are', async () => {
    const { rows } = await database.query(
      `SELECT timestamptz '2020-01-02 03:04:05.678Z' AS time, 1.50::numeric AS amount, '{"a": 1}'::jsonb AS json`,
    );
    expect(rows).toEqual([{ time: new Date('2020-01-02T03:04:05.678Z'), amount: '1.50', json: { a: 1 } }]);
  });

  it('limits statements and idle transactions, and says who it is', async () => {
    const shown = `SELECT current_setting('statement_timeout') AS statement,
      current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('application_name') AS name`;
    expect((await database.query(shown)).rows).toEqual([{ statement: '30s', idle: '1min', name: 'the test' }]);
    const own = Database.open({ url: test.ownerUrl, statementTimeout: 20, idleInTransactionTimeout: 0 });
    expect(await failure(own.query('SELECT pg_sleep(10)'))).toMatchObject({ code: 'unavailable' });
    await own.close();
  });

  it('has no statement compiled, which would take longer than running it, unless it is told to', async () => {
    const shown = `SELECT current_setting('jit') AS jit`;
    expect((await database.query(shown)).rows).toEqual([{ jit: 'off' }]);
    const own = Database.open({
      url: `${test.ownerUrl}${test.ownerUrl.includes('?') ? '&' : '?'}options=-c%20jit%3Don`,
    });
    expect((await own.query(shown)).rows).toEqual([{ jit: 'on' }]);
    await own.close();
  });

  it('leaves sessions the settings that the environment gives them', async () => {
    const before = process.env['PGOPTIONS'];
    process.env['PGOPTIONS'] = '-c search_path=shop';
    const own = Database.open({ url: test.ownerUrl });
    try {
      const shown = `SELECT current_setting('search_path') AS path, current_setting('jit') AS jit`;
      expect((await own.query(shown)).rows).toEqual([{ path: 'shop', jit: 'off' }]);
    } finally {
      if (before === undefined) delete process.env['PGOPTIONS'];
      else process.env['PGOPTIONS'] = before;
      await own.close();
    }
  });

  it('works as another role on every connection where one is given', async () => {
    const own = Database.open({ url: test.ownerUrl, role: 'tidemark_app' });
    const answers = await Promise.all([1, 2, 3].map(() => own.query('SELECT current_user::text AS role')));
    expect(answers.map(({ rows }) => rows[0]?.['role'])).toEqual(Array(3).fill('tidemark_app'));
    await own.close();
  });

  it('fails when the role it is to work as does not exist', async () => {
    const own = Database.open({ url: test.ownerUrl, role: 'no "such" role' });
    await expect(own.query('SELECT 1')).rejects.toThrow('no "such" role');
    await own.close();
  });

  it('gives out a connection with its notices, and takes it back', async () => {
    const connection = await database.connect();
    const answer = await connection.query(`DO $$ BEGIN RAISE NOTICE 'tide' USING ERRCODE = 'TM777'; END $$`);
    expect(answer.notices).toEqual([{ code: 'TM777', message: 'tide' }]);
    expect((await connection.query('SELECT $1::int AS n', [7], 'seven')).rows).toEqual([{ n: 7 }]);
    expect((await connection.query('SELECT $1::int AS n', [8], 'seven')).rows).toEqual([{ n: 8 }]);
    connection.release();
    expect((await sql<{ n: number }>`SELECT 1 AS n`.execute(database.kysely)).rows).toEqual([{ n: 1 }]);
  });

  it('listens on a connection outside the pool', async () => {
    const client = await database.listenClient();
    await client.query('LISTEN tide');
    const heard = once(client, 'notification');
    await database.query(`SELECT pg_notify('tide', 'in')`);
    expect((await heard)[0]).toMatchObject({ channel: 'tide', payload: 'in' });
    await client.end();
  });
});

describe('what the database reports', () => {
  beforeAll(async () => {
    await database.query(
      `CREATE TABLE item (id int PRIMARY KEY, parent int CONSTRAINT item_parent REFERENCES item, n int NOT NULL DEFAULT 1 CONSTRAINT n_positive CHECK (n > 0));
       INSERT INTO item VALUES (1)`,
    );
  });

  const cases: [string, string, string, RegExp][] = [
    ['a value that is taken', 'INSERT INTO item VALUES (1)', 'conflict', /item_pkey/],
    ['a reference to nothing', 'INSERT INTO item VALUES (2, 99)', 'conflict', /item_parent/],
    ['a missing value', 'INSERT INTO item VALUES (2, NULL, NULL)', 'invalid', /^n must have a value/],
    ['a broken rule', 'INSERT INTO item VALUES (2, NULL, 0)', 'invalid', /n_positive/],
    ['an unfit value', `SELECT 'x'::int`, 'invalid', /./],
    ['a missing row', `SELECT tidemark.expect(0, 'page 7')`, 'not_found', /^page 7 does not exist/],
    ['a missing right', `SET ROLE tidemark_app; SELECT nextval('tidemark.tid')`, 'forbidden', /does not allow/],
    ['a lock that is held', `SET lock_timeout = 1; DO $$ BEGIN RAISE lock_not_available; END $$`, 'conflict', /again/],
    ['a lost race', `DO $$ BEGIN RAISE serialization_failure; END $$`, 'conflict', /again/],
    ['a full disk', `DO $$ BEGIN RAISE disk_full; END $$`, 'unavailable', /./],
    ['a server that stops', 'SELECT pg_terminate_backend(pg_backend_pid())', 'unavailable', /./],
  ];
  for (const [what, statement, code, message] of cases) {
    it(`is "${code}" for ${what}`, async () => {
      const own = Database.open({ url: test.ownerUrl, poolSize: 1 });
      const error = await failure(own.query(statement));
      await own.close();
      expect(error).toBeInstanceOf(KernelError);
      expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
      expect((error as Error).cause).toBeInstanceOf(Error);
    });
  }

  it('is itself where it is a fault of the program', async () => {
    expect(await failure(database.query('SELEC'))).toMatchObject({ code: '42601' });
    const missing = await failure(import('node:fs/promises').then((fs) => fs.readFile('/no/such/file')));
    expect(missing).not.toBeInstanceOf(KernelError);
  });
});

describe('the pool', () => {
  let server: OwnServer;
  beforeAll(async () => {
    server = await ownServer();
  });
  afterAll(() => server.stop());

  it('survives a crash of the server: unavailable meanwhile, and then as before', async () => {
    const errors: Error[] = [];
    const own = Database.open({ url: server.url, poolSize: 3, onError: (error) => errors.push(error) });
    await Promise.all([1, 2, 3].map(() => own.query('SELECT pg_sleep(0.05)')));
    const running = failure(own.query('SELECT pg_sleep(30)'));
    await waitUntil(async () => {
      const { rows } = await own.query(`SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'`);
      return rows.length === 1;
    }, 'the statement runs');
    await server.kill9();
    expect(await running).toMatchObject({ code: 'unavailable' });
    expect(await failure(own.query('SELECT 1'))).toMatchObject({ code: 'unavailable' });
    await server.start();
    const works = async () => (await own.query('SELECT 1 AS n').catch(() => undefined))?.rows.length === 1;
    await waitUntil(works, 'it works as before');
    await waitUntil(() => errors.length > 0, 'the idle connections are told of');
    await own.close();
  });
});
