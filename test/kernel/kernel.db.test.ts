import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Database, KernelError } from '#libs/database';
import type { JournalEntry } from '#libs/journal';
import { defineResource, type Resource } from '#libs/journal';
import { createKernel, type Kernel } from '#libs/kernel';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { recordingLog } from './recording-log.ts';

interface Note {
  id: number;
  body: string;
  row_version: number;
}

const note = defineResource<Note>({ name: 'note', alias: 'body' });
const actor = { author: 'joe' };
let test: TestDatabase;
let database: Database<{ note: Note }>;
let owner: Database;
const started: Kernel<{ note: Note }>[] = [];

function kernelOf(resources: Resource[], log = recordingLog()): Kernel<{ note: Note }> {
  const kernel = createKernel({ database, resources, log });
  started.push(kernel);
  return kernel;
}

async function refusal(resources: Resource[]): Promise<string> {
  const error = await kernelOf(resources)
    .start()
    .then(
      () => undefined,
      (reason: unknown) => reason,
    );
  expect(error).toBeInstanceOf(KernelError);
  expect((error as KernelError).code).toBe('configuration');
  return (error as KernelError).message;
}

beforeAll(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl });
  await owner.query(`
    CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL UNIQUE);
    SELECT tidemark.journal_table('note', row_version => true);
    CREATE TABLE plain (id bigint PRIMARY KEY);
    CREATE TABLE pair (a int, b int, body text, PRIMARY KEY (b, a));
    SELECT tidemark.journal_table('pair', 'couple');
    CREATE SCHEMA shop;
    CREATE TABLE shop."Order" (id bigint PRIMARY KEY, code text);
    CREATE UNIQUE INDEX ON shop."Order" (code) WHERE code <> '';
    SELECT tidemark.journal_table('shop."Order"', 'order');
    CREATE TABLE other (id bigint PRIMARY KEY, body text);
    SELECT tidemark.journal_table('other');
    ALTER TABLE other ADD extra text;
    CREATE TABLE form (id bigint PRIMARY KEY, custom jsonb NOT NULL, more jsonb NOT NULL);
    SELECT tidemark.journal_table('form', json_keys => '{more,custom}');
    CREATE SCHEMA hidden;
    CREATE TABLE hidden.thing (id bigint PRIMARY KEY);
    GRANT USAGE ON SCHEMA shop TO tidemark_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON note, pair TO tidemark_app`);
  database = Database.open<{ note: Note }>({ url: test.url });
});

afterEach(async () => {
  for (const kernel of started.splice(0)) await kernel.stop();
});

afterAll(async () => {
  await database.close();
  await owner.close();
  await test.drop();
});

describe('a kernel', () => {
  it('has an origin of its own', () => {
    expect(kernelOf([note]).origin).toMatch(/^[0-9a-f-]{36}$/);
    expect(kernelOf([note]).origin).not.toBe(kernelOf([note]).origin);
  });

  it('refuses two resources of one name or one table', () => {
    expect(() => kernelOf([note, note])).toThrow('two resources are called note');
    const again = defineResource({ name: 'memo', table: 'note' });
    expect(() => kernelOf([note, again])).toThrow('the resources note and memo share the table note');
  });

  it('commits a transaction and returns its tid and what the work returned', async () => {
    const kernel = kernelOf([note]);
    const { tid, changes, result } = await kernel.transaction(actor, (tx) => tx.create(note, { body: 'one' }));
    expect(changes).toBe(1);
    const { rows } = await database.query('SELECT author, origin::text, id FROM note_journal WHERE tid = $1', [tid]);
    expect(rows).toEqual([{ author: 'joe', origin: kernel.origin, id: String(result.row.id) }]);
  });

  it('returns no tid for a transaction that changes nothing', async () => {
    const done = await kernelOf([note]).transaction(actor, async (tx) =>
      tx.read.selectFrom('note').selectAll().execute(),
    );
    expect(done).toMatchObject({ tid: null, changes: 0 });
  });

  it('changes nothing by a transaction whose work throws', async () => {
    const kernel = kernelOf([note]);
    const body = randomUUID();
    const failing = kernel.transaction(actor, async (tx) => {
      tx.create(note, { body });
      await tx.flush();
      throw new TypeError('no');
    });
    await expect(failing).rejects.toThrow(new TypeError('no'));
    const { rows } = await database.query('SELECT FROM note WHERE body = $1', [body]);
    expect(rows).toEqual([]);
    await waitUntil(() => database.pool.idleCount === database.pool.totalCount, 'every connection is given back');
  });

  it('changes nothing by a transaction whose commit fails', async () => {
    const kernel = kernelOf([note]);
    const body = randomUUID();
    await kernel.transaction(actor, (tx) => tx.create(note, { body }));
    const { rows: before } = await database.query('SELECT count(*) FROM note_journal');
    await expect(kernel.transaction(actor, (tx) => tx.create(note, { body }))).rejects.toMatchObject({
      code: 'conflict',
    });
    expect((await database.query('SELECT count(*) FROM note_journal')).rows).toEqual(before);
  });

  it('has an epoch once it is started', async () => {
    const kernel = kernelOf([note]);
    expect(() => kernel.epoch).toThrow(KernelError);
    await kernel.start();
    const { rows } = await database.query('SELECT tidemark.current_epoch() AS epoch');
    expect(kernel.epoch).toBe(rows[0]?.['epoch']);
  });

  it('tells its own listener of its commit as primary, and that of another kernel as secondary', async () => {
    const seen: [string, JournalEntry][] = [];
    const [one, two] = [kernelOf([note]), kernelOf([note])];
    for (const [name, kernel] of Object.entries({ one, two })) {
      kernel.listen({
        name: 'watch',
        onPrimary: (entry) => void seen.push([`${name} primary`, entry]),
        onSecondary: (entry) => void seen.push([`${name} secondary`, entry]),
      });
      await kernel.start();
    }
    const { tid } = await one.transaction(actor, (tx) => tx.create(note, { body: randomUUID() }));
    await waitUntil(() => seen.length === 2, 'both are told');
    expect(seen.map(([who, entry]) => [who, entry.tid]).sort()).toEqual([
      ['one primary', tid],
      ['two secondary', tid],
    ]);
  });

  it('starts once, and after its end begins nothing', async () => {
    const kernel = kernelOf([note]);
    await kernel.start();
    await expect(kernel.start()).rejects.toMatchObject({ code: 'conflict' });
    await kernel.stop();
    await kernel.stop();
    expect(() => kernel.begin()).toThrow('the kernel is stopped');
    await expect(kernel.start()).rejects.toMatchObject({ code: 'conflict' });
  });

  it('leaves nothing behind when the effects cannot begin', async () => {
    const kernel = kernelOf([note]);
    kernel.effects.follow({ position: -1, listeners: [], place: () => Promise.reject(new Error('no place')) });
    await expect(kernel.start()).rejects.toThrow('no place');
    const { rows } = await owner.query('SELECT FROM tidemark.processes WHERE origin = $1', [kernel.origin]);
    expect(rows).toEqual([]);
    await kernel.stop();
  });

  it('stops without ever having been started', async () => {
    await kernelOf([note]).stop();
  });
});

describe('a kernel is not started', () => {
  it.each([
    [{ name: 'nowhere' }, 'table nowhere of the resource nowhere does not exist'],
    [{ name: 'plain' }, "call tidemark.journal_table('plain', row_version => true) in a migration"],
    [{ name: 'pair', key: ['b', 'a'], versioned: false }, 'table pair is journaled as couple'],
    [
      { name: 'couple', table: 'pair', key: ['a', 'b'], versioned: false },
      'the primary key of table pair is (b, a), not (a, b)',
    ],
    [{ name: 'couple', table: 'pair', key: ['b', 'a'] }, 'table pair has no row_version'],
    [{ name: 'thing', table: 'hidden.thing' }, 'permission denied for schema hidden'],
    [
      { name: 'order', table: 'shop.Order', alias: 'code', versioned: false },
      'no unique index of table shop.Order covers exactly code',
    ],
    [
      { name: 'form', versioned: false, jsonKeys: ['custom'] },
      "table form journals the keys of (custom, more) one by one, and form has jsonKeys (custom): call tidemark.journal_table('form', json_keys => '{custom}') in a migration",
    ],
    [
      { name: 'plain', versioned: false, jsonKeys: ['a', 'b'] },
      "tidemark.journal_table('plain', json_keys => '{a, b}')",
    ],
    [
      { name: 'other', versioned: false },
      "it was changed and tidemark.journal_table() was not called again. Call tidemark.journal_table('public.other')",
    ],
  ])('on %j', async (definition, message) => {
    expect(await refusal([defineResource(definition)])).toContain(message);
  });

  it('and all mistakes are named at once', async () => {
    const message = await refusal([defineResource({ name: 'nowhere' }), note, defineResource({ name: 'plain' })]);
    expect(message.split('\n')).toHaveLength(2);
  });
});

it('a kernel starts on a table whose keys are journaled as its resource says', async () => {
  await kernelOf([defineResource({ name: 'form', versioned: false, jsonKeys: ['custom', 'more'] })]).start();
});

it('a kernel starts beside a table of another program that needs journal_table(), and logs it', async () => {
  const log = recordingLog();
  const couple = defineResource({ name: 'couple', table: 'pair', key: ['b', 'a'], versioned: false });
  await kernelOf([note, couple], log).start();
  expect(log.messages).toEqual([expect.stringContaining("Call tidemark.journal_table('public.other')")]);
});
