import type { Queryable } from '#libs/database';

/** A server process that was seen within the last minute. */
export interface ProcessStatus {
  readonly origin: string;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly started: string;
  readonly seen: string;
  /** How far its tail had come when it was last seen. */
  readonly position: number;
}

/** An open transaction that has drawn a tid, or is about to: nothing above its floor is safe to read. */
export interface FloorHolder {
  readonly floor: number;
  /** Null for a prepared transaction, which has a gid instead. */
  readonly pid: number | null;
  readonly gid: string | null;
  readonly application: string | null;
  readonly user: string | null;
  readonly state: string | null;
  /** When its transaction began, and its last statement: null where this role may not see them. */
  readonly since: string | null;
  readonly query: string | null;
}

/** The highest tid that this snapshot holds. */
export async function highestTid(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ tid: number }>('SELECT tid FROM tidemark.journal ORDER BY tid DESC LIMIT 1');
  return rows[0]?.tid ?? 0;
}

interface Living extends Omit<ProcessStatus, 'started' | 'seen'> {
  readonly lease: string;
  readonly listeners: readonly string[];
  readonly milliseconds: number;
}

/** Says that a process is alive and where it is, renews its lease, and forgets those that have not said so for a minute. */
export async function sayAlive(db: Queryable, process: Living): Promise<void> {
  await db.query(
    `WITH gone AS (DELETE FROM tidemark.processes WHERE seen < now() - interval '60 s' AND origin <> $1::uuid)
     INSERT INTO tidemark.processes (origin, name, host, pid, version, position, lease, leased_until, listeners)
       VALUES ($1::uuid, $2, $3, $4, $5, $6, $7::uuid, clock_timestamp() + $8 * interval '1 ms', $9)
       ON CONFLICT (origin) DO UPDATE
         SET seen = now(), position = excluded.position, lease = excluded.lease, leased_until = excluded.leased_until,
             listeners = excluded.listeners`,
    [
      ...[process.origin, process.name, process.host, process.pid, process.version, process.position],
      ...[process.lease, process.milliseconds, process.listeners],
    ],
  );
}

export async function forgetProcess(db: Queryable, origin: string): Promise<void> {
  await db.query('DELETE FROM tidemark.processes WHERE origin = $1::uuid', [origin]);
}

/** The living processes, the oldest first. */
export async function livingProcesses(db: Queryable): Promise<ProcessStatus[]> {
  const { rows } = await db.query<Omit<ProcessStatus, 'position'> & { position: string }>(
    `SELECT origin::text, name, host, pid, version, to_json(started) #>> '{}' AS started, to_json(seen) #>> '{}' AS seen,
         position::text
       FROM tidemark.processes WHERE seen >= now() - interval '60 s' ORDER BY processes.started, origin`,
  );
  return rows.map((row) => ({ ...row, position: Number(row.position) }));
}

/**
 * Who holds the tail, the lowest floor first. A prepared transaction has no process: its gid is found by the transaction id that it
 * holds a lock on under the same virtual transaction.
 */
export async function floorHolders(db: Queryable): Promise<FloorHolder[]> {
  const { rows } = await db.query<Omit<FloorHolder, 'floor'> & { floor: string }>(
    `WITH locks AS MATERIALIZED (
       SELECT * FROM pg_locks WHERE granted
     ), holders AS (
       SELECT l.pid, l.virtualtransaction, min(((l.classid::bigint & 65535) << 32) | l.objid::bigint) AS floor
         FROM locks l
         WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid::bigint >> 16 = 29796
           AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
         GROUP BY l.pid, l.virtualtransaction
     )
     SELECT h.floor::text, h.pid, p.gid, a.application_name AS application, coalesce(a.usename, p.owner)::text AS user, a.state,
         to_json(coalesce(a.xact_start, p.prepared)) #>> '{}' AS since, a.query
       FROM holders h
       LEFT JOIN pg_stat_activity a ON a.pid = h.pid
       LEFT JOIN locks x ON h.pid IS NULL AND x.locktype = 'transactionid' AND x.pid IS NULL
         AND x.virtualtransaction = h.virtualtransaction
       LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
       ORDER BY h.floor, h.pid`,
  );
  return rows.map((row) => ({ ...row, floor: Number(row.floor) }));
}
