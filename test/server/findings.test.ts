import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { addUser, createToken } from '#libs/access';
import { Database } from '#libs/database';
import { settled } from '#libs/testing';
import { type MailSink, mailSink } from '../support/mail-sink.ts';
import { pastTriggers } from '../support/past-triggers.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { type TestServer, testServer } from './server-fixture.ts';

let database: TestDatabase;
let owner: Database;
let sink: MailSink;
let server: TestServer;
let editor: { authorization: string };

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 2 });
  sink = await mailSink();
  server = await testServer(database.url, { SMTP_URL: sink.url, TIDEMARK_MAIL_FROM: 'tidemark@example.org' });
  await addUser(owner, { name: 'ann', email: 'ann@example.org', roles: ['admin'] });
  await addUser(owner, { name: 'bob', email: 'bob@example.org', roles: ['editor'] });
  editor = { authorization: `Bearer ${(await createToken(owner, { user: 'bob', roles: [] })).token}` };
  for (let n = 0; n < 5; n++) await server.put(`P${n}`, 'text');
});
afterAll(async () => {
  await server?.close();
  await sink?.close();
  await owner?.close();
  await database?.drop();
});

const verify = () => server.kernel.integrity.verify({}, { actor: { author: 'tidemark' } });
const get = async (path: string) => (await server.ask(path)).json();
const metric = async (name: string) =>
  (await (await fetch(`${server.url}/metrics`)).text()).split('\n').filter((line) => line.startsWith(`${name}{`));

describe('findings', () => {
  it('are told to the feed and to admins by mail, once, and are counted', async () => {
    const { cursor } = await get('/journal?after=now');
    await pastTriggers(
      { owner },
      `UPDATE wiki SET text = 'other' WHERE name <> 'P0'`,
      `DELETE FROM wiki WHERE name = 'P0'`,
    );
    expect(await verify()).toMatchObject({ findings: 5 });
    expect(await verify()).toMatchObject({ findings: 5 });
    await settled(server.kernel, { timeout: 30_000 });
    // one for each page of rows: those of the table, and what its journal has beside
    expect(sink.mails.map(({ to, subject }) => `${to} ${subject.replace(/\d+:/, 'n:')}`).toSorted()).toEqual([
      'ann@example.org [Tidemark] 4 findings',
      expect.stringMatching(/^ann@example.org \[Tidemark\] finding n: wiki \d+: missing \(drift\)$/),
    ]);
    expect(sink.mails.map(({ text }) => text).join()).toContain(': wrong (drift)');
    const { changes } = await get(`/journal?after=${cursor}`);
    expect(changes.map(({ resource, change, author }: Record<string, string>) => [resource, change, author])).toEqual(
      Array.from({ length: 5 }, () => ['finding', 'CREATE', 'tidemark']),
    );
    const other = await server.ask(`/journal?after=${cursor}`, { headers: editor });
    expect((await other.json()).changes).toEqual([]);
    expect(await metric('tidemark_findings')).toEqual([
      'tidemark_findings{check="drift",kind="missing"} 1',
      'tidemark_findings{check="drift",kind="wrong"} 4',
    ]);
  });

  it('are listed, the latest first, in pages, and filtered', async () => {
    const ids: number[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page = await get(`/findings?limit=2${cursor && `&cursor=${cursor}`}`);
      ids.push(...page.items.map(({ id }: { id: number }) => id));
      cursor = page.next;
    }
    expect(ids).toHaveLength(5);
    expect(ids).toEqual(ids.toSorted((a, b) => b - a));
    const kinds = async (query: string) => (await get(`/findings?${query}`)).items.length;
    expect(await kinds('kind=missing')).toBe(1);
    expect(await kinds('kind=wrong&resource=wiki&state=open&check=drift')).toBe(4);
    expect(await kinds('state=resolved')).toBe(0);
    expect(await kinds('resource=ticket')).toBe(0);
    const one = await get(`/findings/${ids[4]}`);
    expect(one).toMatchObject({ id: ids[4], check_name: 'drift', resource: 'wiki', state: 'open', resolved: null });
    expect(Object.keys(one)).not.toContain('key');
    await server.kernel.integrity.repair(
      { finding: ids[4] as number },
      { actor: { author: 'ann', comment: 'again' }, accept: 'journal', apply: true },
    );
    expect(await get(`/findings/${ids[4]}`)).toMatchObject({ state: 'resolved', resolved_by: 'ann', reason: 'again' });
  });

  it('that are gone and come back are told again', async () => {
    sink.mails.length = 0;
    await server.kernel.integrity.repair(
      { resource: 'wiki' },
      { actor: { author: 'ann', comment: 'again' }, accept: 'model', apply: true },
    );
    expect(await verify()).toMatchObject({ findings: 0 });
    await pastTriggers({ owner }, `UPDATE wiki SET text = 'else' WHERE name = 'P3'`);
    await verify();
    await settled(server.kernel, { timeout: 30_000 });
    expect(sink.mails.map(({ subject }) => subject)).toEqual([
      expect.stringMatching(/^\[Tidemark\] finding \d+: wiki \d+ text: wrong \(drift\)$/),
    ]);
  });

  it('are mailed ten times an hour at most', async () => {
    sink.mails.length = 0;
    for (let n = 0; n < 10; n++) {
      await pastTriggers({ owner }, `INSERT INTO wiki (name, text) VALUES ('Past${n}', '')`);
      await server.kernel.integrity.verify({ resource: 'wiki' }, { actor: { author: 'tidemark' } });
      await settled(server.kernel, { timeout: 30_000 });
    }
    // three have gone out before
    expect(sink.mails).toHaveLength(7);
  });

  it('are for admins', async () => {
    expect((await fetch(`${server.url}/findings`)).status).toBe(401);
    for (const path of ['/findings', '/findings/1']) {
      expect((await server.ask(path, { headers: editor })).status).toBe(403);
    }
  });

  it.each([
    ['/findings?state=odd', 422],
    ['/findings?limit=0', 422],
    ['/findings?colour=red', 422],
    ['/findings?cursor=abc', 400],
    ['/findings/4711', 404],
    ['/findings/x', 404],
  ])('%s is refused with %i', async (path, status) => {
    expect((await server.ask(path)).status).toBe(status);
  });
});
