import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type Identity, Permissions, type Role, Visibility } from '#libs/access';
import { Database, KernelError } from '#libs/database';
import { type Change, changesOf, checkRow, defineResource, type May, type Position, type Writer } from '#libs/journal';
import { createKernel, type Kernel } from '#libs/kernel';
import { historyPage } from '../../apps/server/paging.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

interface Plate {
  id: number;
  project_id: string | null;
  title: string;
}
const plate = defineResource<Plate>({ name: 'plate', project: 'project_id' });
const log = { debug() {}, info() {}, warn() {}, error() {} };
const permissions = new Permissions();

let test: TestDatabase;
let owner: Database;
let database: Database;
let kernel: Kernel;

beforeAll(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl });
  await owner.query(`
    CREATE TABLE plate (id int PRIMARY KEY, project_id text, title text);
    SELECT tidemark.journal_table('plate', row_version => true);
    GRANT SELECT, INSERT, UPDATE, DELETE ON plate TO tidemark_app;
    INSERT INTO plate (id, project_id, title) VALUES (1, 'alpha', 'a'), (2, 'beta', 'b'), (3, NULL, 'c')`);
  database = Database.open({ url: test.url });
  kernel = createKernel({ database, resources: [plate], log });
  await kernel.start();
});

afterAll(async () => {
  await kernel.stop();
  await database.close();
  await owner.close();
  await test.drop();
});

function person(roles: readonly Role[], projects: Record<string, readonly Role[]>): Identity {
  return { user: 'joe', roles, projects: new Map(Object.entries(projects)) };
}
const mayOf =
  (identity: Identity): May =>
  (...asked) =>
    permissions.may(identity, ...asked);

/** A command as a domain writes it. */
async function patchShot(writer: Writer, id: number, values: Partial<Plate>, may?: May): Promise<void> {
  const missing = () => new KernelError('not_found', `there is no plate ${id}`);
  await writer.transaction({ author: 'joe' }, async (tx) => {
    const row = await tx.lock(plate, id);
    if (row === undefined) throw missing();
    checkRow(may, { resource: 'plate', action: 'modify', project: row.project_id, to: values.project_id, missing });
    tx.save(plate, id, values);
  });
}

const refusal = (id: number, values: Partial<Plate>, may: May) =>
  patchShot(kernel, id, values, may).then(
    () => 'done',
    ({ code, message }) => `${code}: ${message}`,
  );

it('a row is changed by those whose roles in its project allow it, and unknown to those who may not read it', async () => {
  const may = mayOf(person([], { alpha: ['editor'], beta: ['viewer'] }));
  expect(await refusal(1, { title: 'a2' }, may)).toBe('done');
  expect(await refusal(2, { title: 'b2' }, may)).toBe(
    'forbidden: this needs the permission plate:modify in the project "beta"',
  );
  expect(await refusal(3, { title: 'c2' }, may)).toBe('not_found: there is no plate 3');
  expect(await refusal(4, { title: 'd2' }, may)).toBe('not_found: there is no plate 4');
  expect(await refusal(1, { project_id: 'beta' }, may)).toMatch(/^forbidden: .*"beta"$/);
  expect(await refusal(1, { project_id: null }, may)).toBe('forbidden: this needs the permission plate:modify');
  expect(await refusal(3, { title: 'c2' }, mayOf(person(['editor'], {})))).toBe('done');
  expect(await refusal(2, { title: 'b2' }, mayOf(person(['editor'], { beta: ['viewer'] })))).toMatch(/^forbidden/);
});

it('a row that is moved while somebody waits for it is judged by where it has gone', async () => {
  const mover = await owner.connect();
  await mover.query('BEGIN');
  await mover.query(`UPDATE plate SET project_id = 'gamma' WHERE id = 1`);
  const refused = refusal(1, { title: 'too late' }, mayOf(person([], { alpha: ['editor'] })));
  await waitUntil(async () => {
    const { rows } = await owner.query(`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1`, [
      test.name,
    ]);
    return rows.length > 0;
  }, 'somebody waits for the row');
  await mover.query('COMMIT');
  mover.release();
  expect(await refused).toBe('not_found: there is no plate 1');
});

it('pages of a history leave out what happened elsewhere, and come to its end', async () => {
  for (let n = 0; n < 30; n++) {
    await owner.query(`UPDATE plate SET title = 't${n}', project_id = $1 WHERE id = 2`, [
      n % 10 < 8 ? 'beta' : 'alpha',
    ]);
  }
  const visibility = new Visibility(person([], { alpha: ['viewer'] }), permissions, kernel.resources);
  const read = ({ before, limit }: { before?: Position; limit: number }) =>
    changesOf(database, 'plate', '2', { limit, ...(before === undefined ? {} : { before: before.tid }) });
  const seen: Change[] = [];
  let cursor: string | null | undefined;
  do {
    const page = await historyPage(kernel, 4, cursor ?? undefined, read, visibility);
    seen.push(...page.items);
    cursor = page.next;
  } while (cursor !== null);
  // into alpha, within it, and out of it, three times; the last time it stays
  const expected = [29, 28, 20, 19, 18, 10, 9, 8].map((n) => `t${n}`);
  expect(seen.map(({ fields }) => fields['title']?.new)).toEqual(expected);
});

it('a resource whose project column is not there lets no kernel start', async () => {
  const lost = defineResource({ name: 'plate', project: 'projekt_id' });
  const other = createKernel({ database, resources: [lost], log });
  await expect(other.start()).rejects.toThrow(
    'table plate has no journaled column projekt_id, which is to hold the project of plate.',
  );
});
