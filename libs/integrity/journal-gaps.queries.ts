import type { Queryable } from '#libs/database';

/** A place of a journal at which the entry and its values do not go together. `change` null: there is no entry, `fields` null: no values. */
export interface Gap {
  readonly tid: number;
  readonly id: string;
  readonly change: string | null;
  readonly fields: string[] | null;
}

/** A page of a journal and its history: whole tids, so it may hold more rows than it was meant to. */
export interface GapPage {
  /** Its last tid; null when there is nothing. */
  readonly upto: number | null;
  readonly rows: number;
  readonly more: boolean;
}

/** The page of a resource's journal after a tid. */
export async function gapPage(
  snapshot: Queryable,
  resource: string,
  { after, limit }: { after: number; limit: number },
): Promise<GapPage> {
  const { rows } = await snapshot.query<GapPage>(
    `SELECT n.upto, n.rows = $3 AS more,
         (SELECT count(*) FROM tidemark.journal WHERE resource = $1 AND tid > $2 AND tid <= n.upto)
           + (SELECT count(*) FROM tidemark.history WHERE resource = $1 AND tid > $2 AND tid <= n.upto) AS rows
       FROM (
         SELECT count(*) AS rows, max(both_sides.tid) AS upto FROM (
           SELECT tid FROM (
             (SELECT tid FROM tidemark.journal WHERE resource = $1 AND tid > $2 ORDER BY tid LIMIT $3)
             UNION ALL
             (SELECT tid FROM tidemark.history WHERE resource = $1 AND tid > $2 ORDER BY tid LIMIT $3)
           ) every ORDER BY tid LIMIT $3
         ) both_sides
       ) n`,
    [resource, after, limit],
  );
  return rows[0] as GapPage;
}

// A DELETE has no values; what another keyword means, only its domain knows.
const GAP = `j.tid IS NULL OR h.tid IS NULL AND j.change IN ('CREATE', 'MODIFY') OR h.tid IS NOT NULL AND j.change = 'DELETE'`;

/** The gaps of a resource's journal after a tid, up to another. */
export async function gapsBetween(
  snapshot: Queryable,
  resource: string,
  { after, upto }: { after: number; upto: number },
): Promise<Gap[]> {
  const { rows } = await snapshot.query<Gap>(
    `SELECT coalesce(j.tid, h.tid) AS tid, coalesce(j.id, h.id) AS id, j.change, h.fields
       FROM (SELECT tid, id, change FROM tidemark.journal WHERE resource = $1 AND tid > $2 AND tid <= $3) j
       FULL JOIN (
         SELECT tid, id, array_agg(field ORDER BY field) AS fields FROM tidemark.history
           WHERE resource = $1 AND tid > $2 AND tid <= $3 GROUP BY tid, id
       ) h ON h.tid = j.tid AND h.id = j.id
       WHERE ${GAP} ORDER BY 1, 2`,
    [resource, after, upto],
  );
  return rows;
}

/** The gaps at some places of a resource's journal. */
export async function gapsAt(
  snapshot: Queryable,
  resource: string,
  places: readonly { tid: number; id: string }[],
): Promise<Gap[]> {
  const { rows } = await snapshot.query<Gap>(
    `SELECT p.tid, p.id, j.change, h.fields
       FROM unnest($2::bigint[], $3::text[]) p(tid, id)
       LEFT JOIN tidemark.journal j ON j.resource = $1 AND j.tid = p.tid AND j.id = p.id
       LEFT JOIN LATERAL (
         SELECT min(v.tid) AS tid, array_agg(v.field ORDER BY v.field) AS fields FROM tidemark.history v
           WHERE v.resource = $1 AND v.tid = p.tid AND v.id = p.id HAVING count(*) > 0
       ) h ON true
       WHERE (j.tid IS NOT NULL OR h.tid IS NOT NULL) AND (${GAP}) ORDER BY 1, 2`,
    [resource, places.map(({ tid }) => tid), places.map(({ id }) => id)],
  );
  return rows;
}
