import type { Queryable } from '#libs/database';
import { defineProjection, type FoldProjection } from '#libs/projection';
import { item } from './boxes.ts';

// A fold in TypeScript that tells by its result whether every change was applied once and in order: each makes a new digest of the one before it.

export const CHAIN_SET_UP = `
  CREATE TABLE item_chain (item_id int PRIMARY KEY, length int NOT NULL, digest int NOT NULL);
  SELECT tidemark.projection('item_chain', 'item_chain');`;

export interface Link {
  item_id: number;
  length: number;
  digest: number;
}

export function next({ item_id, length, digest }: Link, n: number): Link {
  return { item_id, length: length + 1, digest: (digest * 31 + n + 7) % 1_000_003 };
}

export const chain = defineProjection<FoldProjection>({
  ...{ kind: 'fold', name: 'item_chain', version: 1, tables: ['item_chain'], sources: [item] },
  async apply(db: Queryable, changes, table) {
    const ids = [...new Set(changes.map(({ id }) => id))];
    const { rows } = await db.query<Link>(`SELECT * FROM ${table('item_chain')} WHERE item_id = ANY ($1::int[])`, [
      ids,
    ]);
    const links = new Map(rows.map((link) => [link.item_id, link]));
    for (const { id, values } of changes) {
      const before = links.get(Number(id)) ?? { item_id: Number(id), length: 0, digest: 1 };
      links.set(Number(id), next(before, Number(values['n'] ?? -1)));
    }
    await db.query(
      `INSERT INTO ${table('item_chain')} AS c SELECT * FROM json_populate_recordset(NULL::item_chain, $1)
         ON CONFLICT (item_id) DO UPDATE SET length = excluded.length, digest = excluded.digest`,
      [JSON.stringify([...links.values()])],
    );
  },
});

/** The same from the journal, by other means. */
export async function expectedChain(db: Queryable): Promise<Link[]> {
  const { rows } = await db.query<{ id: string; ns: string[] }>(
    `SELECT j.id, array_agg(coalesce(h.value #>> '{}', '-1') ORDER BY j.tid) AS ns
       FROM item_journal j LEFT JOIN item_history h ON h.tid = j.tid AND h.id = j.id AND h.field = 'n' GROUP BY j.id ORDER BY j.id::int`,
  );
  return rows.map(({ id, ns }) =>
    ns.reduce((link, n) => next(link, Number(n)), { item_id: Number(id), length: 0, digest: 1 }),
  );
}
