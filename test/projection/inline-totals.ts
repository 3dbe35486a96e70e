import type { Kernel } from '#libs/kernel';
import { defineProjection, type KeyedProjection } from '#libs/projection';
import { type Boxes, box, boxes, item } from './boxes.ts';

// What lies in each box, and of each colour, in numbers: inline, so a writer that does not see another one's change leaves a wrong number.

export const totals = defineProjection<KeyedProjection>({
  ...{ kind: 'keyed', name: 'box_totals', version: 1, table: 'box_totals', key: ['box_id'], inline: true },
  sources: [{ resource: item, keyFields: ['box_id'], fields: ['box_id', 'n'], keys: 'SELECT box_id FROM changed' }],
  rows: `SELECT box_id, count(*)::int AS items, sum(n)::int AS total FROM keys k JOIN item USING (box_id) GROUP BY box_id`,
});

/** Its keys are found by way of another table, whose rows move, too. */
export const colours = defineProjection<KeyedProjection>({
  ...{ kind: 'keyed', name: 'colour_totals', version: 1, table: 'colour_totals', key: ['colour'], inline: true },
  sources: [
    {
      resource: item,
      keyFields: ['box_id'],
      keys: 'SELECT b.colour FROM changed JOIN box b ON b.id = changed.box_id',
    },
    { resource: box, keyFields: ['colour'], keys: 'SELECT colour FROM changed' },
  ],
  rows: `SELECT colour, count(*)::int AS items FROM keys k JOIN box b USING (colour) JOIN item i ON i.box_id = b.id GROUP BY colour`,
});

/** What they have to hold, by statements of their own. */
const EXPECTED = {
  box_totals: `SELECT box_id, count(*)::int AS items, sum(n)::int AS total FROM item WHERE box_id IS NOT NULL GROUP BY box_id`,
  colour_totals: `SELECT colour, count(i.id)::int AS items FROM box JOIN item i ON i.box_id = box.id GROUP BY colour`,
};

export interface Totals extends Boxes {
  /** Keeps every checkpoint where it is: what is there then, no follower has made. */
  standStill(): Promise<() => void>;
  /** The rows of both that are not as they should be, in one snapshot. */
  wrong(): Promise<unknown[]>;
}

export async function inlineTotals(): Promise<Totals> {
  const all = await boxes();
  const standing = new Set<() => void>();
  await all.owner.query(`
    CREATE INDEX ON item (box_id);
    CREATE TABLE box_totals (box_id int PRIMARY KEY, items int NOT NULL, total int NOT NULL CONSTRAINT box_full CHECK (total <= 1000000));
    SELECT tidemark.projection('box_totals', 'box_totals');
    CREATE TABLE colour_totals (colour text PRIMARY KEY, items int NOT NULL);
    SELECT tidemark.projection('colour_totals', 'colour_totals');`);
  return {
    ...all,
    async standStill() {
      const holder = await all.owner.connect();
      await holder.query('BEGIN');
      await holder.query('SELECT FROM tidemark.projections FOR UPDATE');
      const moveOn = () => {
        if (standing.delete(moveOn)) holder.release(new Error('moves again'));
      };
      standing.add(moveOn);
      return moveOn;
    },
    async close() {
      for (const moveOn of standing) moveOn();
      await all.close();
    },
    async wrong() {
      const differing = Object.entries(EXPECTED).map(
        ([table, expected]) =>
          `SELECT '${table}' AS of, to_jsonb(t) AS is, to_jsonb(e) AS should_be FROM ${table} t FULL JOIN (${expected}) e ON t = e
             WHERE t IS NULL OR e IS NULL`,
      );
      return (await all.app.query(differing.join(' UNION ALL '))).rows;
    },
  };
}

/** Makes boxes 1 to n, each of its own colour. */
export function makeBoxes(kernel: Kernel, count: number): Promise<unknown> {
  return kernel.transaction({ author: 'joe' }, (tx) => {
    for (let id = 1; id <= count; id++) tx.create(box, { id, colour: `c${id}` });
  });
}
