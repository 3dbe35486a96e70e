import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Identity, Permissions, type Role, RowProjects, Visibility } from '#libs/access';
import { Database } from '#libs/database';
import { changesOf, defineResource, type JournalEntry, readEntries, withOldValues } from '#libs/journal';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

const plate = defineResource({ name: 'plate', project: 'project_id' });
const secret = defineResource({ name: 'secret' });
const resources = new Map([plate, secret].map((resource) => [resource.name, resource]));
const permissions = new Permissions({ secret: { read: ['admin', 'see secrets'] } });

let test: TestDatabase;
let owner: Database;
let db: Database;

beforeAll(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl });
  db = Database.open({ url: test.url });
  await owner.query(`
    CREATE TABLE plate (id int PRIMARY KEY, project_id text, title text);
    CREATE TABLE secret (id int PRIMARY KEY);
    SELECT tidemark.journal_table('plate', row_version => true);
    SELECT tidemark.journal_table('secret', row_version => true)`);
  for (const statement of STORY) await owner.query(statement);
});

afterAll(async () => {
  await owner.close();
  await db.close();
  await test.drop();
});

/** Each statement is one change; what it is about, and in which projects it happens. */
const STORY = [
  `INSERT INTO plate (id, project_id, title) VALUES (1, 'alpha', 'a')`,
  `INSERT INTO plate (id, project_id, title) VALUES (2, 'beta', 'b')`,
  `INSERT INTO plate (id, project_id, title) VALUES (3, NULL, 'c')`,
  'INSERT INTO secret (id) VALUES (1)',
  `UPDATE plate SET title = 'a2' WHERE id = 1`,
  `UPDATE plate SET project_id = 'beta', title = 'a3' WHERE id = 1`,
  `UPDATE plate SET title = 'a4' WHERE id = 1`,
  `UPDATE plate SET project_id = NULL WHERE id = 1`,
  'DELETE FROM plate WHERE id = 1',
  `INSERT INTO plate (id, project_id, title) VALUES (1, 'alpha', 'new')`,
  `UPDATE plate SET title = 'new2' WHERE id = 1`,
  `UPDATE plate SET title = 'b2' WHERE id = 2`,
  'DELETE FROM plate WHERE id = 2',
  `DELETE FROM plate WHERE id = 3`,
];
const PLACES: (string[] | 'secret')[] = [
  ['alpha'],
  ['beta'],
  [''],
  'secret',
  ['alpha'],
  ['alpha', 'beta'],
  ['beta'],
  ['beta', ''],
  [''],
  ['alpha'],
  ['alpha'],
  ['beta'],
  ['beta'],
  [''],
];
const where = (...places: string[]) =>
  PLACES.flatMap((place, n) => (place !== 'secret' && place.some((project) => places.includes(project)) ? [n] : []));

function visibility(roles: readonly Role[], projects: Record<string, readonly Role[]> = {}): Visibility {
  const identity: Identity = { user: 'joe', roles, projects: new Map(Object.entries(projects)) };
  return new Visibility(identity, permissions, resources);
}

const entries = () => readEntries(db, { after: { tid: 0 }, limit: 100 });

/** The places in the story of what somebody sees, entries given all at once, one by one, and backwards as changes. */
async function seen(who: Visibility): Promise<number[]> {
  const all = await entries();
  const places = (some: readonly { tid: number }[]) =>
    some.map(({ tid }) => all.findIndex((entry) => entry.tid === tid));
  const atOnce = places(await who.visible(db, all));

  const walk = new RowProjects(resources);
  const single: JournalEntry[] = [];
  for (const entry of all) single.push(...(await who.visible(db, [entry], walk)));
  expect(places(single)).toEqual(atOnce);

  const changes = (await withOldValues(db, all)).toReversed();
  expect(places(await who.visible(db, changes)).toReversed()).toEqual(atOnce);
  return atOnce;
}

describe('the changes of rows that belong to projects', () => {
  it('are seen by those whose roles in the project of that moment allow it', async () => {
    expect(await seen(visibility([], { alpha: ['viewer'] }))).toEqual(where('alpha'));
    expect(await seen(visibility([], { beta: ['editor'] }))).toEqual(where('beta'));
    expect(await seen(visibility([], { alpha: ['viewer'], beta: ['viewer'] }))).toEqual(where('alpha', 'beta'));
    expect(await seen(visibility([], { gamma: ['viewer'] }))).toEqual([]);
    expect(await seen(visibility([]))).toEqual([]);
  });

  it('are seen by those whose roles everywhere allow it, whatever the project', async () => {
    expect(await seen(visibility(['viewer']))).toEqual(where('alpha', 'beta', ''));
    expect(await seen(visibility(['editor'], { alpha: ['coordinator'] }))).toEqual(where('alpha', 'beta', ''));
    expect(await seen(visibility(['admin']))).toEqual(PLACES.map((_, n) => n));
  });

  it('are not seen in a project where a role takes the right away', async () => {
    expect(await seen(visibility(['viewer'], { alpha: [] }))).toEqual(where('beta', ''));
  });

  it('are judged for one row by its own past', async () => {
    const story = await changesOf(db, 'plate', '1', { limit: 100 });
    const alpha = await visibility([], { alpha: ['viewer'] }).visible(db, story.slice(0, 4));
    expect(alpha.map(({ change, fields }) => [change, fields['title']?.new])).toEqual([
      ['MODIFY', 'new2'],
      ['CREATE', 'new'],
    ]);
  });

  it('ask the database once for a part, and not again for rows that were passed', async () => {
    let asked = 0;
    const query: typeof db.query = (...given) => {
      asked += 1;
      return db.query(...given);
    };
    const counting = { query } as typeof db;
    const walk = new RowProjects(resources);
    const all = await entries();
    const who = visibility([], { alpha: ['viewer'] });
    await who.visible(counting, all.slice(4, 9), walk);
    expect(asked).toBe(1);
    await who.visible(counting, all.slice(9, 11), walk);
    expect(asked).toBe(1);
    await visibility(['viewer']).visible(counting, all);
    expect(asked).toBe(1);
  });
});

describe('rows', () => {
  it('are readable by their project', () => {
    const who = visibility([], { alpha: ['viewer'] });
    expect(['alpha', 'beta', null].map((project) => who.mayRead('plate', project))).toEqual([true, false, false]);
    expect(who.projects('plate')).toEqual({ kind: 'only', projects: ['alpha'] });
    expect(visibility(['viewer'], { alpha: [], beta: ['editor'] }).projects('plate')).toEqual({
      ...{ kind: 'all but', projects: ['alpha'] },
    });
  });

  it('of a resource are all readable, some, or none', () => {
    const reach = (who: Visibility) => ['plate', 'secret', 'unknown'].map((name) => who.reach(name));
    expect(reach(visibility(['viewer']))).toEqual(['all', 'none', 'all']);
    expect(reach(visibility([], { alpha: ['viewer'] }))).toEqual(['some', 'none', 'none']);
    expect(reach(visibility([]))).toEqual(['none', 'none', 'none']);
    expect(reach(visibility(['admin']))).toEqual(['all', 'all', 'all']);
  });
});
