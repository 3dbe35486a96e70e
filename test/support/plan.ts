import type { Database, Queryable } from '#libs/database';

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

/** What statements have read of the database when they were run. */
export interface Reading {
  /** The most rows that any one step has read at once. */
  most: number;
  /** The tables that were read from end to end. */
  readonly whole: Set<string>;
}

/** Runs what makes statements, which are explained and give no rows. */
export async function readingOf(db: Database, run: (db: Queryable) => Promise<unknown>): Promise<Reading> {
  const reading: Reading = { most: 0, whole: new Set() };
  const look = (node: PlanNode): void => {
    reading.most = Math.max(reading.most, node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0));
    if (node['Node Type'] === 'Seq Scan') reading.whole.add(node['Relation Name'] as string);
    node.Plans?.forEach(look);
  };
  const explaining = {
    async query(text: string, values: readonly unknown[]) {
      const { rows } = await db.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
        `EXPLAIN (ANALYZE, FORMAT JSON) ${text}`,
        values,
      );
      look((rows[0] as { 'QUERY PLAN': [{ Plan: PlanNode }] })['QUERY PLAN'][0].Plan);
      return { rows: [], rowCount: 0, notices: [] };
    },
  };
  await run(explaining as unknown as Queryable);
  return reading;
}
