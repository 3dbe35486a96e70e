import { Database } from '#libs/database';
import type { EffectListener } from '#libs/effects';
import { defineResource, type Resource } from '#libs/journal';
import { createKernel, type Kernel, type KernelOptions } from '#libs/kernel';
import { defineProjection, type FoldProjection, type KeyedProjection, type Projection } from '#libs/projection';
import { RecordedLog } from '../dispatch/harness.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

// Items that lie in boxes: what each box holds is a keyed projection, how often an item has moved a fold.

export interface Box {
  id: number;
  colour: string;
}

export interface Item {
  id: number;
  box_id: number | null;
  n: number;
}

export const box = defineResource<Box>({ name: 'box', versioned: false });
export const item = defineResource<Item>({ name: 'item', versioned: false });

export const contents = defineProjection<KeyedProjection>({
  ...{ kind: 'keyed', name: 'box_contents', version: 1, table: 'box_contents', key: ['box_id'] },
  sources: [
    { resource: item, keyFields: ['box_id'], fields: ['box_id', 'n'], keys: 'SELECT box_id FROM changed' },
    { resource: box, keys: 'SELECT id FROM changed' },
  ],
  rows: `SELECT k.box_id, i.id AS item_id, b.colour, i.n FROM keys k JOIN box b ON b.id = k.box_id JOIN item i ON i.box_id = k.box_id`,
});

export const moves = defineProjection<FoldProjection>({
  ...{ kind: 'fold', name: 'item_moves', version: 1, tables: ['item_moves'], sources: [item] },
  async apply(db, changes, table) {
    const moved = changes.filter(({ values }) => Object.hasOwn(values, 'box_id'));
    await db.query(
      `INSERT INTO ${table('item_moves')} AS m (item_id, moves, last)
         SELECT id, count(*), max(tid) FROM unnest($1::int[], $2::bigint[]) c(id, tid) GROUP BY id
         ON CONFLICT (item_id) DO UPDATE SET moves = m.moves + excluded.moves, last = excluded.last`,
      [moved.map(({ id }) => id), moved.map(({ tid }) => tid)],
    );
  },
});

// the projections of the domain are none of these tests'
export const SET_UP = `
  DELETE FROM tidemark.projections;
  CREATE TABLE box (id int PRIMARY KEY, colour text NOT NULL);
  CREATE TABLE item (id int PRIMARY KEY, box_id int, n int NOT NULL);
  SELECT tidemark.journal_table('box');
  SELECT tidemark.journal_table('item');
  GRANT SELECT, INSERT, UPDATE, DELETE ON box, item TO tidemark_app;
  CREATE TABLE box_contents (box_id int, item_id int, colour text NOT NULL, n int NOT NULL, PRIMARY KEY (box_id, item_id));
  SELECT tidemark.projection('box_contents', 'box_contents');
  CREATE TABLE item_moves (item_id int PRIMARY KEY, moves int NOT NULL, last bigint NOT NULL);
  SELECT tidemark.projection('item_moves', 'item_moves');`;

export interface Boxes {
  readonly test: TestDatabase;
  readonly owner: Database;
  readonly app: Database;
  readonly log: RecordedLog;
  /** A kernel that is not started. */
  kernel(
    resources?: readonly Resource[],
    options?: Pick<KernelOptions<unknown>, 'projections' | 'checks' | 'checkRowsPerSecond'>,
  ): Kernel;
  /** A process's kernel that follows these projections, started; with a listener if need be. */
  start(projections?: readonly Projection[], listener?: EffectListener): Promise<Kernel>;
  /** What is in a table, as JSON, in the order of its rows. */
  rows(table: string): Promise<unknown[]>;
  close(): Promise<void>;
}

export async function boxes(): Promise<Boxes> {
  const test = await testDatabase();
  const owner = Database.open({ url: test.ownerUrl, poolSize: 4 });
  const app = Database.open({ url: test.url, poolSize: 20 });
  const log = new RecordedLog();
  const kernels: Kernel[] = [];
  await owner.query(SET_UP);
  const make: Boxes['kernel'] = (resources = [box, item], options = {}) => {
    const kernel = createKernel({ database: app, resources, log, ...options });
    kernels.push(kernel);
    return kernel;
  };
  return {
    ...{ test, owner, app, log, kernel: make },
    async start(projections = [contents, moves], listener) {
      const kernel = make([box, item], { projections });
      if (listener) kernel.listen(listener);
      await kernel.start();
      return kernel;
    },
    async rows(table) {
      const { rows } = await owner.query<{ row: unknown }>(`SELECT to_json(t) AS row FROM ${table} t ORDER BY t`);
      return rows.map(({ row }) => row);
    },
    async close() {
      await Promise.all(kernels.map((kernel) => kernel.stop()));
      await Promise.all([owner.close(), app.close()]);
      await test.drop();
    },
  };
}

/** What box_contents has to hold, by a statement of its own. */
export const CONTENTS = `(SELECT i.box_id, i.id AS item_id, b.colour, i.n FROM item i JOIN box b ON b.id = i.box_id)`;
