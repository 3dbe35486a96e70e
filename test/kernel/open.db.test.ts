import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Database, KernelError } from '#libs/database';
import { defineResource } from '#libs/journal';
import { type Config, loadConfig, type Opened, openKernel, openOwner } from '#libs/kernel';
import { migrate, migrationsFolder } from '#libs/migrations';
import { ownServer } from '../support/own-server.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { recordingLog } from './recording-log.ts';

interface Tables {
  memo: { id: number; body: string };
}

const memo = defineResource<Tables['memo']>({ name: 'memo', versioned: false });
const roles: string[] = [];
const databases: TestDatabase[] = [];
const opened: Opened<Tables>[] = [];
let admin: Database;
let cluster: TestDatabase;

async function database(options?: { migrated: boolean }): Promise<TestDatabase> {
  const made = await testDatabase(options);
  databases.push(made);
  return made;
}

/** The URL of a new login role on a database. */
async function login(on: TestDatabase, ...grants: string[]): Promise<string> {
  const role = `tm_test_${randomBytes(6).toString('hex')}`;
  roles.push(role);
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
  for (const grant of grants) await admin.query(`${grant} TO ${role}`);
  const url = new URL(on.ownerUrl);
  url.username = role;
  url.password = 'secret';
  return url.href;
}

const configOf = (url: string, ownerUrl?: string): Config =>
  loadConfig({ DATABASE_URL: url, DATABASE_OWNER_URL: ownerUrl, TIDEMARK_POOL_SIZE: '3' });

async function open(config: Config, how: typeof openKernel = openKernel): Promise<Opened<Tables>> {
  const made = await how<Tables>(config, { resources: [memo], log: recordingLog() });
  opened.push(made);
  return made;
}

async function refusal(config: Config, how: typeof openKernel = openKernel): Promise<KernelError> {
  const error = await open(config, how).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(KernelError);
  return error as KernelError;
}

async function whoAmI({ database }: Opened<Tables>): Promise<unknown> {
  const { rows } = await database.query('SELECT current_user::text AS role');
  return rows[0]?.['role'];
}

async function tableMemo(ownerUrl: string): Promise<void> {
  const owner = Database.open({ url: ownerUrl });
  await owner.query(`CREATE TABLE memo (id int PRIMARY KEY, body text);
    SELECT tidemark.journal_table('memo'); GRANT SELECT, INSERT, UPDATE, DELETE ON memo TO tidemark_app`);
  await owner.close();
}

beforeAll(async () => {
  cluster = await testDatabase();
  admin = Database.open({ url: cluster.ownerUrl });
});

afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

afterAll(async () => {
  for (const one of databases) await one.drop();
  for (const role of roles) await admin.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  await admin.close();
  await cluster.drop();
});

describe('a database is opened', () => {
  it("by its superuser with the program's rights, migrated", async () => {
    const { ownerUrl } = await database({ migrated: false });
    const one = await open(configOf(ownerUrl));
    expect(one).toMatchObject({ embedded: false, firstStart: false, adminToken: undefined });
    expect(await whoAmI(one)).toBe('tidemark_app');
    await expect(one.database.query('DELETE FROM tidemark.journal')).rejects.toMatchObject({ code: '42501' });
    await expect(one.database.query('CREATE TABLE tidemark.mine ()')).rejects.toMatchObject({
      code: '42501',
    });
  });

  it("by an owner that is no superuser, with the program's rights", async () => {
    const made = await database({ migrated: false });
    const url = await login(made, 'GRANT tidemark_app', 'GRANT tidemark_importer');
    await admin.query(`ALTER DATABASE ${made.name} OWNER TO ${new URL(url).username}`);
    const one = await open(configOf(url));
    expect(await whoAmI(one)).toBe('tidemark_app');
    await expect(one.database.query('DELETE FROM tidemark.journal')).rejects.toMatchObject({ code: '42501' });
    await tableMemo(url);
    await one.kernel.start();
    const { tid } = await one.kernel.transaction({ author: 'joe' }, (tx) => tx.create(memo, { id: 1, body: 'x' }));
    const { rows } = await one.database.query('SELECT db_role FROM memo_journal WHERE tid = $1', [tid]);
    expect(rows).toEqual([{ db_role: 'tidemark_app' }]);
  });

  it('by an owner that creates the roles itself, in a cluster that has none', async () => {
    const server = await ownServer({ migrated: false });
    const superuser = Database.open({ url: server.ownerUrl, poolSize: 1 });
    await superuser.query('CREATE ROLE joe LOGIN CREATEROLE');
    await superuser.query('CREATE DATABASE shop OWNER joe');
    await superuser.close();
    const url = new URL(server.ownerUrl);
    url.username = 'joe';
    url.pathname = '/shop';
    const one = await openKernel(configOf(url.href), { resources: [], log: recordingLog() });
    const role = (await one.database.query('SELECT current_user::text AS role')).rows;
    await one.close();
    await server.stop();
    expect(role).toEqual([{ role: 'tidemark_app' }]);
  });

  it('by a member of tidemark_app under its own name', async () => {
    const made = await database();
    const url = await login(made, 'GRANT tidemark_app');
    expect(await whoAmI(await open(configOf(url)))).toBe(new URL(url).username);
  });

  it('by ten at once that all find it empty', async () => {
    const { ownerUrl } = await database({ migrated: false });
    const all = await Promise.all(Array.from({ length: 10 }, () => open(configOf(ownerUrl))));
    const { rows } = await (all[0] as Opened<Tables>).database.query(
      'SELECT count(*)::int AS n, count(DISTINCT name)::int AS names FROM tidemark.migration',
    );
    expect(rows[0]?.['n']).toBe(rows[0]?.['names']);
  });

  it('by the owner for migrations, and by the other role for all else', async () => {
    const made = await database({ migrated: false });
    const url = await login(made, 'GRANT tidemark_app');
    const one = await open(configOf(url, made.ownerUrl));
    expect(one.ownerUrl).toBe(made.ownerUrl);
    expect(await whoAmI(one)).toBe(new URL(url).username);
  });
});

describe('a database is refused', () => {
  it('when migrations are pending and nobody may apply them, naming the command', async () => {
    const url = await login(await database({ migrated: false }), 'GRANT tidemark_app');
    const error = await refusal(configOf(url));
    expect(error.code).toBe('configuration');
    expect(error.message).toContain('0001_journal');
    expect(error.message).toContain('Run "tidemark migrate"');
  });

  it('when a migration has only begun and the role may not go on with it', async () => {
    const made = await database({ migrated: false });
    const owner = Database.open({ url: made.ownerUrl });
    await owner.query('CREATE SCHEMA tidemark');
    await owner.close();
    const url = await login(made, 'GRANT tidemark_app');
    expect((await refusal(configOf(url))).message).toContain('Run "tidemark migrate"');
    // whoever has the owner's URL goes on
    await open(configOf(url, made.ownerUrl));
  });

  it('when the role is not a member of tidemark_app, with the statement that helps', async () => {
    const url = await login(await database());
    const error = await refusal(configOf(url));
    expect(error.code).toBe('configuration');
    expect(error.message).toContain(`GRANT tidemark_app TO "${new URL(url).username}"`);
  });

  it('when it is newer than the program', async () => {
    const made = await database();
    const owner = Database.open({ url: made.ownerUrl });
    await owner.query(`INSERT INTO tidemark.migration (name, timestamp) VALUES ('9999_future', '')`);
    await owner.close();
    for (const url of [made.url, made.ownerUrl]) {
      expect(await refusal(configOf(url))).toMatchObject({
        code: 'configuration',
        message: expect.stringContaining('9999_future'),
      });
    }
  });

  it('when the two URLs name different databases', async () => {
    const [one, other] = [await database({ migrated: false }), await database({ migrated: false })];
    const error = await refusal(configOf(await login(one, 'GRANT tidemark_app'), other.ownerUrl));
    expect(error).toMatchObject({
      code: 'configuration',
      message: expect.stringContaining('the same database'),
    });
  });

  it('when it does not exist', async () => {
    const url = new URL(cluster.ownerUrl);
    url.pathname = '/tidemark_test_nowhere';
    expect(await refusal(configOf(url.href))).toMatchObject({ code: 'configuration' });
  });

  it('when it is not reachable', async () => {
    const error = await refusal(configOf('postgres://joe@127.0.0.1:1/tidemark'));
    expect(error.code).toBe('unavailable');
  });
});

describe('an importer', () => {
  it('journals with its own time, which the program may not', async () => {
    const made = await database();
    await tableMemo(made.ownerUrl);
    const url = await login(made, 'GRANT tidemark_app');
    const config = configOf(url, made.ownerUrl);
    const [importer, program] = [await open(config, openOwner), await open(config)];
    const then = { author: 'joe', time: new Date('2001-02-03T04:05:06Z') };

    const { tid } = await importer.kernel.transaction(then, (tx) => tx.create(memo, { id: 1, body: 'x' }));
    const { rows } = await program.database.query('SELECT time, db_role FROM memo_journal WHERE tid = $1', [tid]);
    expect(rows).toEqual([{ time: then.time, db_role: 'tidemark_importer' }]);

    const forged = program.kernel.transaction(then, (tx) => tx.create(memo, { id: 2, body: 'x' }));
    await expect(forged).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('is refused when its role is no member of tidemark_importer', async () => {
    const url = await login(await database(), 'GRANT tidemark_app');
    const error = await refusal(configOf(url), openOwner);
    expect(error).toMatchObject({
      code: 'configuration',
      message: expect.stringContaining('GRANT tidemark_importer'),
    });
  });

  it('migrates an empty database', async () => {
    const { ownerUrl } = await database({ migrated: false });
    await open(configOf(ownerUrl), openOwner);
    expect(await migrate(ownerUrl, [migrationsFolder])).toEqual({ applied: [] });
  });
});
