import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { readEpoch } from '#libs/journal';
import { migrate, migrationsFolder } from '#libs/migrations';
import { command } from '../cli/command.ts';
import { type Answer, testServer } from '../server/server-fixture.ts';
import { ownServer } from '../support/own-server.ts';
import { type TestDatabase, testDatabase, urlOn } from '../support/test-database.ts';

let original: TestDatabase;
let admin: Database;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-epoch-'));
  original = await testDatabase({ migrated: false });
  await migrate(original.ownerUrl, [migrationsFolder]);
  // databases are copied from another one: nobody may be connected to what is copied
  admin = Database.open({ url: urlOn(original.ownerUrl, 'postgres'), poolSize: 1 });
});

afterAll(async () => {
  await admin.query(`DROP DATABASE IF EXISTS ${original.name}_copy WITH (FORCE)`);
  await admin.close();
  await original.drop();
  rmSync(folder, { recursive: true });
});

const urlOfCopy = (url: string) => urlOn(url, `${original.name}_copy`);

async function copy(): Promise<void> {
  await admin.query(`DROP DATABASE IF EXISTS ${original.name}_copy WITH (FORCE)`);
  await admin.query(`CREATE DATABASE ${original.name}_copy TEMPLATE ${original.name}`);
}

/** Changes pages through a server, and returns where its journal ends then. */
async function write(url: string, ...names: string[]): Promise<string> {
  const server = await testServer(url);
  for (const name of names) await server.put(name, 'text');
  const { cursor } = await (await server.ask('/journal?limit=500')).json();
  await server.close();
  return cursor;
}

async function askOnce(url: string, path: string, init?: RequestInit): Promise<Answer> {
  const server = await testServer(url);
  const answer = await server.ask(path, init);
  if (!init) await answer.text();
  await server.close();
  return answer;
}

const follow = (url: string, cursor: string) => askOnce(url, `/journal?after=${cursor}`);
const epoch = (how: string, env: Record<string, string>, ...flags: string[]) =>
  command(['epoch', how, ...flags], env, folder);

describe('a copy of a database', () => {
  let cursor: string;

  beforeAll(async () => {
    cursor = await write(original.url, 'One', 'Two');
    await copy();
    // the copy goes further than the cursor, by other changes than the original
    await write(urlOfCopy(original.url), 'Elsewhere', 'Too');
    await write(original.url, 'Three');
  });

  it('refuses the cursors of its original, of which it has all tids', async () => {
    const answer = await follow(urlOfCopy(original.url), cursor);
    expect(answer.status).toBe(400);
    const stream = await askOnce(urlOfCopy(original.url), '/journal/stream', { headers: { 'last-event-id': cursor } });
    expect([stream.status, (await stream.json()).detail]).toEqual([
      400,
      'the cursor belongs to another database: read again from the beginning',
    ]);
    expect((await follow(original.url, cursor)).status).toBe(200);
  });

  it('has an epoch that stays, and that a copy of it has not', async () => {
    const own = await write(urlOfCopy(original.url), 'Again');
    expect((await follow(urlOfCopy(original.url), own)).status).toBe(200);
    expect((await follow(original.url, own)).status).toBe(400);
  });

  it('goes on with them when the owner says that it takes the place of its original', async () => {
    const kept = await write(original.url);
    await copy();
    const env = { DATABASE_URL: urlOfCopy(original.url), DATABASE_OWNER_URL: urlOfCopy(original.ownerUrl) };
    expect(await epoch('keep', env)).toMatchObject({ end: 0, stdout: expect.stringContaining('go on') });
    expect((await follow(urlOfCopy(original.url), kept)).status).toBe(200);
  });
});

describe('keeping', () => {
  const env = () => ({ DATABASE_URL: urlOfCopy(original.url), DATABASE_OWNER_URL: urlOfCopy(original.ownerUrl) });

  it('is not too late when the copy has given out cursors of its own', async () => {
    const ofOriginal = await write(original.url);
    await copy();
    const own = await write(urlOfCopy(original.url), 'Early');
    expect((await follow(urlOfCopy(original.url), ofOriginal)).status).toBe(400);
    expect(await epoch('keep', env())).toMatchObject({ end: 0 });
    expect((await follow(urlOfCopy(original.url), ofOriginal)).status).toBe(200);
    expect((await follow(urlOfCopy(original.url), own)).status).toBe(400);
  });

  it('goes on with the cursors of a copy in a copy of that one', async () => {
    await copy();
    const ofCopy = await write(urlOfCopy(original.url), 'Second hand');
    const name = `${original.name}_copy`;
    await admin.query(`CREATE DATABASE ${name}_2 TEMPLATE ${name}`);
    const [url, ownerUrl] = [urlOn(original.url, `${name}_2`), urlOn(original.ownerUrl, `${name}_2`)];
    expect((await follow(url, ofCopy)).status).toBe(400);
    expect(await epoch('keep', { DATABASE_URL: url, DATABASE_OWNER_URL: ownerUrl })).toMatchObject({ end: 0 });
    expect((await follow(url, ofCopy)).status).toBe(200);
    await admin.query(`DROP DATABASE ${name}_2 WITH (FORCE)`);
  });

  it('after a failover keeps what was given out last, not what the copied database had', async () => {
    await copy();
    const own = await write(urlOfCopy(original.url), 'Failed over');
    const owner = Database.open({ url: urlOfCopy(original.ownerUrl), poolSize: 1 });
    await owner.query(`UPDATE tidemark.epoch SET timeline = '00000000'`);
    await owner.close();
    for (let twice = 0; twice < 2; twice++) {
      expect(await epoch('keep', env())).toMatchObject({ end: 0 });
      expect((await follow(urlOfCopy(original.url), own)).status).toBe(200);
    }
  });

  it('is the same epoch for all of many that ask at once what it is', async () => {
    await copy();
    const reader = Database.open({ url: urlOfCopy(original.url), poolSize: 10 });
    const asked = await Promise.all(Array.from({ length: 20 }, () => readEpoch(reader)));
    await reader.close();
    expect(new Set(asked).size).toBe(1);
  });
});

describe('the epoch', () => {
  it('is what it was before the migration that binds it to a place', async () => {
    const owner = Database.open({ url: original.ownerUrl, poolSize: 1 });
    const { rows } = await owner.query('SELECT epoch = tidemark.current_epoch() AS same FROM tidemark.epoch');
    await owner.close();
    expect(rows).toEqual([{ same: true }]);
  });

  it('can be renewed by the owner when no server is at work: cursors given out before are refused', async () => {
    const env = { DATABASE_URL: original.url, DATABASE_OWNER_URL: original.ownerUrl };
    const before = await write(original.url, 'Four');
    const server = await testServer(original.url);
    expect(await epoch('renew', env)).toMatchObject({ end: 4, stderr: expect.stringContaining('stop them first') });
    await server.close();
    expect(await epoch('renew', { DATABASE_URL: original.url })).toMatchObject({ end: 4 });
    expect((await follow(original.url, before)).status).toBe(200);
    expect(await epoch('renew', env)).toMatchObject({ end: 0, stdout: expect.stringContaining('are refused') });
    expect((await follow(original.url, before)).status).toBe(400);
  });

  it('outlives a crash of the server', async () => {
    const server = await ownServer();
    const cursor = await write(server.url, 'One');
    await server.kill9();
    await server.start();
    expect((await follow(server.url, cursor)).status).toBe(200);
    await server.stop();
  });

  it('doctor finds that the server has got another timeline, until the epoch is renewed or kept', async () => {
    const env = { DATABASE_URL: original.url, DATABASE_OWNER_URL: original.ownerUrl };
    const owner = Database.open({ url: original.ownerUrl, poolSize: 1 });
    await owner.query(`UPDATE tidemark.epoch SET timeline = '00000000'`);
    await owner.close();
    expect(await command(['doctor'], env, folder)).toMatchObject({
      ...{ end: 1, stdout: expect.stringContaining('restored or failed over since the epoch was named') },
    });
    await epoch('keep', env);
    expect(await command(['doctor'], env, folder)).toMatchObject({ end: 0 });
  });
});
