import { definePlugin, defineProjection, type FoldProjection, type KeyedProjection } from 'tidemark';
import { ticket } from 'tidemark/server';

const board = defineProjection<KeyedProjection>({
  kind: 'keyed',
  name: 'ticket_board',
  version: 1,
  table: 'ticket_board',
  key: ['owner'],
  sources: [{ resource: ticket, fields: ['owner', 'status'], keyFields: ['owner'], keys: 'SELECT owner FROM changed' }],
  rows: `SELECT owner, t.status, count(*)::int AS tickets FROM keys JOIN ticket t USING (owner) GROUP BY owner, t.status`,
});

const time = defineProjection<FoldProjection>({
  kind: 'fold',
  name: 'ticket_time',
  version: 1,
  tables: ['ticket_time'],
  sources: [ticket],
  async apply(db, changes, table) {
    const moves = changes.filter(({ change, values }) => change === 'DELETE' || 'status' in values);
    await db.query(
      `WITH moves AS (
         SELECT * FROM unnest($1::int[], $2::text[], $3::timestamptz[]) WITH ORDINALITY m(ticket, status, time, place)
       ), spans AS (
         SELECT ticket, status, time AS since, lead(time) OVER (PARTITION BY ticket ORDER BY place) AS until FROM moves
         UNION ALL
         SELECT t.ticket, t.status, t.since, (SELECT m.time FROM moves m WHERE m.ticket = t.ticket ORDER BY place LIMIT 1)
           FROM ${table('ticket_time')} t WHERE t.since IS NOT NULL AND t.ticket = ANY ($1::int[])
       )
       INSERT INTO ${table('ticket_time')} AS t (ticket, status, seconds, since)
         SELECT ticket, status, coalesce(sum(extract(epoch FROM until - since)), 0), max(since) FILTER (WHERE until IS NULL)
           FROM spans WHERE status IS NOT NULL GROUP BY ticket, status
         ON CONFLICT (ticket, status) DO UPDATE SET seconds = t.seconds + excluded.seconds, since = excluded.since`,
      [moves.map(({ id }) => id), moves.map(({ values }) => values['status'] ?? null), moves.map(({ time }) => time)],
    );
  },
});

export default definePlugin({
  name: 'ticket-board',
  migrations: new URL('migrations/', import.meta.url),
  projections: [board, time],
});
