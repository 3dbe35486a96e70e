import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Database } from '#libs/database';
import { migrationsFolder } from '#libs/migrations';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { command } from './command.ts';

let database: TestDatabase;
let owner: Database;
let folder: string;

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 2 });
  folder = await mkdtemp(join(tmpdir(), 'tidemark-doctor-'));
});

afterAll(async () => {
  await owner.close();
  await database.drop();
  await rm(folder, { recursive: true });
});

async function findings(): Promise<string[]> {
  const env = { DATABASE_URL: database.url, DATABASE_OWNER_URL: database.ownerUrl };
  const { end, stdout, stderr } = await command(['doctor', '--json'], env, folder);
  const { checks } = JSON.parse(stdout) as { checks: { findings: string[] }[] };
  const found = checks.flatMap((check) => check.findings);
  expect({ end, stderr }).toEqual({ end: found.length > 0 ? 1 : 0, stderr: '' });
  return found;
}

async function originalOf(name: string): Promise<string> {
  const { rows } = await owner.query<{ text: string }>(
    `SELECT pg_get_functiondef(oid) AS text FROM pg_proc WHERE pronamespace = 'tidemark'::regnamespace AND proname = $1`,
    [name],
  );
  return String(rows[0]?.text);
}

test('a healthy database has no findings', async () => {
  expect(await findings()).toEqual([]);
});

test('each way to break a promise is found, and not any more when it is repaired', async () => {
  const frontier = await originalOf('frontier');
  const drift = await originalOf('drift');
  const first = await readFile(join(migrationsFolder, '0001_journal.sql'), 'utf8');
  const superseded = String(/CREATE (FUNCTION tidemark\.drift\(.*?\nEND \$\$;)/s.exec(first)?.[1]).replace(
    /^/,
    'CREATE OR REPLACE ',
  );
  const cases: { breaks: string; repairs: string; finds: string }[] = [
    {
      breaks: 'ALTER TABLE wiki DISABLE TRIGGER tidemark_update',
      repairs: 'ALTER TABLE wiki ENABLE ALWAYS TRIGGER tidemark_update',
      finds: 'wiki: trigger tidemark_update is not ENABLE ALWAYS',
    },
    {
      breaks: 'ALTER TABLE wiki ADD COLUMN unjournaled text',
      repairs: 'ALTER TABLE wiki DROP COLUMN unjournaled',
      finds: 'journal_table() was not called again',
    },
    {
      breaks: 'ALTER SEQUENCE tidemark.tid CACHE 20',
      repairs: 'ALTER SEQUENCE tidemark.tid CACHE 1',
      finds: 'hands out 20 numbers at a time',
    },
    {
      breaks: 'GRANT UPDATE ON wiki_journal TO tidemark_app',
      repairs: 'REVOKE UPDATE ON wiki_journal FROM tidemark_app',
      finds: 'tidemark_app may UPDATE wiki_journal',
    },
    {
      breaks: 'GRANT USAGE ON SEQUENCE tidemark.tid TO PUBLIC',
      repairs: 'REVOKE USAGE ON SEQUENCE tidemark.tid FROM PUBLIC',
      finds: 'tidemark_app has USAGE on the sequence tidemark.tid',
    },
    {
      breaks: 'GRANT EXECUTE ON FUNCTION tidemark.draw_tid() TO PUBLIC',
      repairs: 'REVOKE EXECUTE ON FUNCTION tidemark.draw_tid() FROM PUBLIC',
      finds: 'tidemark_app may call tidemark.draw_tid()',
    },
    {
      breaks: frontier.replace('head := coalesce', 'safe := 0; head := coalesce'),
      repairs: frontier,
      finds: 'tidemark.frontier() is not what a migration has made it',
    },
    {
      breaks: superseded,
      repairs: drift,
      finds: 'tidemark.drift() is not what a migration has made it',
    },
    {
      breaks: `INSERT INTO tidemark.processes (origin, name, host, pid, version, position)
        VALUES (gen_random_uuid(), 'x', 'x', 1, 'x', 1000000)`,
      repairs: `DELETE FROM tidemark.processes WHERE name = 'x'`,
      finds: 'the position of a process, 1000000 is ahead of the sequence',
    },
    {
      breaks: `DELETE FROM tidemark.migration WHERE name = '0004_imports'`,
      repairs: `INSERT INTO tidemark.migration (name, timestamp) VALUES ('0004_imports', '2026-01-01T00:00:00.000Z')`,
      finds: '0004_imports is pending',
    },
    {
      breaks: `INSERT INTO tidemark.migration (name, timestamp) VALUES ('9999_later', '2026-01-01T00:00:00.000Z')`,
      repairs: `DELETE FROM tidemark.migration WHERE name = '9999_later'`,
      finds: '9999_later is applied and not known to this version',
    },
  ];
  for (const { breaks, repairs, finds } of cases) {
    await owner.query(breaks);
    expect(await findings()).toContainEqual(expect.stringContaining(finds));
    await owner.query(repairs);
  }
  expect(await findings()).toEqual([]);
}, 120_000);

test('without the owner the check that needs one is left out', async () => {
  const { end, stdout } = await command(['doctor'], { DATABASE_URL: database.url }, folder);
  expect({ end, stdout }).toEqual({ end: 0, stdout: expect.stringMatching(/not seen +the guard of the draw/) });
});
