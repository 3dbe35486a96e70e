import { expect } from '@jest/globals';
import pg from 'pg';
import { testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

type Rows = Record<string, unknown>[];

/** One connection, for tests that need to say which session does what. */
export class Session {
  readonly client: pg.Client;

  constructor(client: pg.Client) {
    this.client = client;
  }

  static async open(url: string): Promise<Session> {
    const client = new pg.Client(url);
    await client.connect();
    return new Session(client);
  }

  /** The rows of the (last) statement. */
  async sql(text: string, values?: unknown[]): Promise<Rows> {
    const answer = await this.client.query(text, values);
    const last = Array.isArray(answer) ? (answer.at(-1) as pg.QueryResult) : answer;
    return last.rows as Rows;
  }

  /** The first column of the first row. */
  async value(text: string, values?: unknown[]): Promise<unknown> {
    const [row] = await this.sql(text, values);
    return row === undefined ? undefined : Object.values(row)[0];
  }

  /** Why the statement failed: "code message"; fails if it did not. Ends the transaction that it broke. */
  async refusal(text: string, values?: unknown[]): Promise<string> {
    const error = await this.client.query(text, values).then(
      () => undefined,
      (thrown: pg.DatabaseError) => thrown,
    );
    await this.client.query('ROLLBACK');
    if (error === undefined) throw new Error(`not refused: ${text}`);
    return `${error.code} ${error.message}`;
  }

  /** One statement as a flush: the main SELECT names the actor. */
  async flush(changes: string[], actor: object = {}): Promise<Rows> {
    const steps = changes.map((change, index) => `c${index} AS (${change})`).join(', ');
    const named = { author: 'ann', flush: 'f', transaction: 't', ...actor };
    return this.sql(`WITH ${steps} SELECT set_config('tidemark.actor', $1, true)`, [JSON.stringify(named)]);
  }

  /** Resolves when this session's running statement waits for a lock; another session looks. */
  async waits(other: Session): Promise<void> {
    const { processID } = this.client as unknown as { processID: number };
    const look = `SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1`;
    const waiting = async () => (await other.value(look, [processID])) === true;
    await waitUntil(waiting, `session ${processID} waits for a lock`);
  }
}

/** A database of the test file's own, with sessions on it. */
export interface Lab {
  readonly owner: Session;
  readonly app: Session;
  readonly url: string;
  readonly ownerUrl: string;
  /** 15, 18, … */
  readonly major: number;
  session(as?: 'owner' | 'app'): Promise<Session>;
  close(): Promise<void>;
}

export async function lab(): Promise<Lab> {
  const test = await testDatabase();
  const open: Session[] = [];
  const session = async (as: 'owner' | 'app' = 'owner'): Promise<Session> => {
    const opened = await Session.open(as === 'owner' ? test.ownerUrl : test.url);
    open.push(opened);
    return opened;
  };
  const owner = await session();
  return {
    owner,
    app: await session('app'),
    url: test.url,
    ownerUrl: test.ownerUrl,
    major: Math.floor(Number(await owner.value('SHOW server_version_num')) / 10_000),
    session,
    async close() {
      await Promise.all(open.map(({ client }) => client.end()));
      await test.drop();
    },
  };
}

/** A row of the journal with its new values, as PostgreSQL prints them. */
export interface Written {
  tid: number;
  id: string;
  change: string;
  author: string;
  comment: string | null;
  txn: number;
  row_version: number | null;
  fields: Record<string, unknown>;
}

/** What the journal holds of a resource, in tid order. */
export async function written(session: Session, resource: string, after = 0): Promise<Written[]> {
  const rows = await session.sql(
    `SELECT j.tid::integer, j.id, j.change, j.author, j.comment, j.txn::integer, j.row_version::integer,
        coalesce((SELECT json_object_agg(h.field, h.value ORDER BY h.field) FROM tidemark.history h
          WHERE h.resource = j.resource AND h.tid = j.tid AND h.id = j.id), '{}') AS fields
      FROM tidemark.journal j WHERE j.resource = $1 AND j.tid > $2 ORDER BY j.tid, j.id`,
    [resource, after],
  );
  return rows as unknown as Written[];
}

/** "CREATE 1", "MODIFY 1" …, in tid order: enough to see what was journaled. */
export async function changes(session: Session, resource: string, after = 0): Promise<string[]> {
  return (await written(session, resource, after)).map(({ change, id }) => `${change} ${id}`);
}

/** The highest tid ever drawn. */
export async function head(session: Session): Promise<number> {
  return Number(await session.value('SELECT head FROM tidemark.frontier()'));
}

/**
 * The journal of a resource is true: folded by the database and, independently, here, it gives every live row, image for image;
 * the versions of each row rise along tid; no history row lacks its journal row.
 */
export async function expectTrueJournal(session: Session, resource: string): Promise<void> {
  expect(await session.sql('SELECT * FROM tidemark.drift($1)', [resource])).toEqual([]);
  expect(await differencesByImage(session, resource)).toEqual([]);
  const orphans = `SELECT h.tid, h.id, h.field FROM tidemark.history h
    WHERE h.resource = $1 AND NOT EXISTS (SELECT FROM tidemark.journal j
      WHERE j.resource = h.resource AND j.tid = h.tid AND j.id = h.id AND j.change <> 'DELETE')`;
  expect(await session.sql(orphans, [resource])).toEqual([]);
  expect(await versionInversions(session, resource)).toEqual([]);
}

/** Rows whose version goes back along tid within one life of the row. (A row that a trigger writes again is journaled twice as it stands in the end.) */
export async function versionInversions(session: Session, resource: string): Promise<Rows> {
  return session.sql(
    `SELECT * FROM (SELECT j.id, j.tid, j.change, j.row_version,
        lag(j.row_version) OVER (PARTITION BY j.id ORDER BY j.tid) AS before
      FROM tidemark.journal j WHERE j.resource = $1 AND j.change <> 'DELETE') v
      WHERE v.change = 'MODIFY' AND v.row_version < v.before`,
    [resource],
  );
}

/** Folds journal and history in this process, reads the values back by their types and compares records by image (*<>). */
async function differencesByImage(session: Session, resource: string): Promise<Rows> {
  const folded = fold(
    await session.sql(
      `SELECT j.id, j.change, array_agg(h.field) AS fields, array_agg(h.value::text) AS values
        FROM tidemark.journal j LEFT JOIN tidemark.history h ON h.resource = j.resource AND h.tid = j.tid AND h.id = j.id
        WHERE j.resource = $1 GROUP BY j.tid, j.id, j.change ORDER BY j.tid, j.id`,
      [resource],
    ),
  );
  const known = await session.sql(
    `SELECT r.relation::text AS relation, r.json_keys AS keyed, tidemark.id_expression(r.relation, 'l') AS id,
        array_agg(quote_ident(c.name) ORDER BY c.name) AS columns,
        array_agg(format(c.read, format('(f.fields -> %L)', c.name)) ORDER BY c.name) AS reads
      FROM tidemark.resources r CROSS JOIN LATERAL tidemark.journaled_columns(r.relation) c
      WHERE r.resource = $1 AND NOT (r.versioned AND c.name = 'row_version') GROUP BY r.relation, r.json_keys`,
    [resource],
  );
  const { relation, keyed, id, columns, reads } = known[0] as {
    relation: string;
    keyed: string[];
    id: string;
    columns: string[];
    reads: string[];
  };
  const live = columns.map((column) => `l.${column}`);
  return session.sql(
    `WITH b AS MATERIALIZED (SELECT f.id AS folded_id, row(${reads.join(', ')})::record AS image
        FROM unnest($1::text[], $2::jsonb[]) f(id, fields)),
      a AS MATERIALIZED (SELECT ${id} AS live_id, row(${live.join(', ')})::record AS image FROM ONLY ${relation} l)
      SELECT b.folded_id, a.live_id, b.image::text AS folded, a.image::text AS live FROM b FULL JOIN a ON a.live_id = b.folded_id COLLATE "C"
        WHERE a.live_id IS NULL OR b.folded_id IS NULL OR a.image OPERATOR(pg_catalog.*<>) b.image`,
    [[...folded.keys()], [...folded.values()].map((fields) => jsonObject(gathered(fields, keyed)))],
  );
}

/** The values of each living row, as the texts of their JSON; a row begins at its last CREATE. */
function fold(rows: Rows): Map<string, Map<string, string | null>> {
  const living = new Map<string, Map<string, string | null>>();
  for (const row of rows) {
    const { id, change, fields, values } = row as unknown as Entry;
    if (change === 'DELETE') living.delete(id);
    if (change === 'CREATE') living.set(id, new Map());
    fields.forEach((field, index) => {
      if (field !== null) living.get(id)?.set(field, values[index] ?? null);
    });
  }
  return living;
}

interface Entry {
  id: string;
  change: string;
  /** One null when the entry has no history row. */
  fields: (string | null)[];
  values: (string | null)[];
}

/** With the keys that are journaled one by one put back into their columns. */
function gathered(fields: Map<string, string | null>, keyed: string[]): Map<string, string | null> {
  const columns = keyed.map((column) => {
    const keys = [...fields].filter(([field]) => field.startsWith(`${column}.`));
    for (const [field] of keys) fields.delete(field);
    return [
      column,
      jsonObject(new Map(keys.map(([field, value]) => [field.slice(column.length + 1), value]))),
    ] as const;
  });
  return new Map([...fields, ...columns]);
}

function jsonObject(fields: Map<string, string | null>): string {
  const present = [...fields].filter(([, value]) => value !== null);
  return `{${present.map(([field, value]) => `${JSON.stringify(field)}:${value}`).join(',')}}`;
}
