import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Connection } from '#libs/database';
import { Tail, wholeTid } from '#libs/dispatch';
import { defineResource, frontier, type JournalEntry, ModelTransaction } from '#libs/journal';
import { type Harness, harness, openTransaction } from '../dispatch/harness.ts';
import { waitUntil } from '../support/wait-until.ts';

const SECONDS = process.env['TIDEMARK_TEST_LONG'] ? 600 : 10;
const WRITERS = 12;
const HOT = 12;

const TABLES = `
  CREATE TABLE hot (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);
  INSERT INTO hot SELECT generate_series(1, ${HOT});
  SELECT tidemark.journal_table('hot', row_version => true);
  CREATE TABLE team (id integer PRIMARY KEY, name text);
  SELECT tidemark.journal_table('team', row_version => true);
  CREATE TABLE member (id uuid PRIMARY KEY, team integer NOT NULL REFERENCES team ON UPDATE CASCADE ON DELETE CASCADE, n integer NOT NULL DEFAULT 0);
  SELECT tidemark.journal_table('member', row_version => true);
  CREATE TABLE unrelated (n integer);
  GRANT SELECT, INSERT, UPDATE, DELETE ON hot, team, member, unrelated TO tidemark_app;`;

const hot = defineResource<{ id: number; n: number }>({ name: 'hot' });
const RESOURCES = ['hot', 'team', 'member'];

let h: Harness;
let other: Harness;
let prepared: boolean;

beforeAll(async () => {
  [h, other] = await Promise.all([harness(TABLES), harness()]);
  const { rows } = await h.owner.query<{ allowed: boolean }>(
    "SELECT current_setting('max_prepared_transactions')::int > 0 AS allowed",
  );
  prepared = rows[0]?.allowed ?? false;
});

afterAll(async () => {
  await Promise.all([h.close(), other.close()]);
});

const pause = () => delay(randomInt(13));
const bump = (n = randomInt(HOT) + 1) => `UPDATE hot SET n = n + 1 WHERE id = ${n}`;

/** The ways in which programs write, each in a transaction of its own; some end in an error, as programs do. */
const ways: ((connection: Connection) => Promise<void>)[] = [
  async function pausesAndRollsBack(c) {
    await c.query('BEGIN');
    await c.query(bump());
    await pause();
    await c.query(randomInt(100) < 25 ? 'ROLLBACK' : 'COMMIT');
  },
  async function changesRowsInKeyOrder(c) {
    await c.query('BEGIN');
    const first = randomInt(HOT - 2) + 1;
    for (let id = first; id < first + 1 + randomInt(3); id++) {
      await c.query(bump(id));
      if (randomInt(3) === 0) await pause();
    }
    await c.query('COMMIT');
  },
  async function usesSavepoints(c) {
    await c.query('BEGIN');
    if (randomInt(2)) await c.query(bump(1));
    await c.query('SAVEPOINT a');
    await c.query(bump(2));
    await pause();
    await c.query('ROLLBACK TO a');
    if (randomInt(2)) await c.query(bump(3 + randomInt(HOT - 2)));
    await c.query('COMMIT');
  },
  async function sendsSeveralStatementsAtOnce(c) {
    await c.query(
      `BEGIN; ${bump(1)}; SELECT pg_sleep(${Math.random() / 200}); ${bump(2)}; INSERT INTO unrelated VALUES (1); COMMIT`,
    );
  },
  async function takesItsTransactionIdEarly(c) {
    await c.query('BEGIN');
    await c.query('INSERT INTO unrelated VALUES (2)');
    await pause();
    await c.query(bump());
    await c.query('COMMIT');
  },
  async function cascades(c) {
    const team = randomInt(20);
    const members = Array.from({ length: 1 + randomInt(5) }, () => `('${randomUUID()}', ${team})`);
    await c.query(
      `INSERT INTO team VALUES (${team}, 'a') ON CONFLICT (id) DO UPDATE SET name = excluded.name || '${randomInt(9)}'`,
    );
    await c.query(`INSERT INTO member (id, team) VALUES ${members.join(', ')}`);
    await c.query('BEGIN');
    if (randomInt(2)) await c.query(`UPDATE team SET id = ${100 + randomInt(20)} WHERE id = ${team}`);
    else await c.query(`DELETE FROM team WHERE id = ${team}`);
    await pause();
    await c.query('COMMIT');
  },
  async function goesThroughAModelTransaction() {
    const tx = new ModelTransaction({ database: h.app, origin: randomUUID() }).prepare({ author: 'stress' });
    tx.save(hot, randomInt(HOT) + 1, { n: randomInt(1000) });
    if (randomInt(2)) await tx.flush();
    if (randomInt(4)) await tx.commit();
    else await tx.rollback();
  },
  async function prepares(c) {
    if (!prepared) return;
    const gid = `stress_${randomUUID()}`;
    await c.query('BEGIN');
    await c.query(bump());
    await c.query(`PREPARE TRANSACTION '${gid}'`);
    await pause();
    await c.query(`${randomInt(4) ? 'COMMIT' : 'ROLLBACK'} PREPARED '${gid}'`);
  },
];

/** Deadlocks, lost races and keys: programs meet them. */
const EXPECTED =
  /deadlock|duplicate key|violates foreign key|in between|depends on|already has|maximum number of prepared|does not exist/i;

/** Writes until the time is over. */
async function write(until: number): Promise<void> {
  while (performance.now() < until) {
    const connection = await h.owner.connect();
    try {
      await (ways[randomInt(ways.length)] as (typeof ways)[number])(connection);
      connection.release();
    } catch (error) {
      // what was begun is undone by closing the connection
      connection.release(error as Error);
      if (!EXPECTED.test(String(error))) throw error;
    }
  }
}

/** The tail as one would write it first: all rows above the highest tid seen. */
async function naiveTail(after: number, over: () => boolean): Promise<Set<string>> {
  const seen = new Set<string>();
  let cursor = after;
  for (let last = false; !last; await delay(3)) {
    last = over();
    const { rows } = await h.owner.query<{ tid: number; key: string }>(
      "SELECT tid, tid || ' ' || resource || ' ' || id AS key FROM tidemark.journal WHERE tid > $1 ORDER BY tid",
      [cursor],
    );
    for (const row of rows) seen.add(row.key);
    cursor = rows.at(-1)?.tid ?? cursor;
  }
  return seen;
}

const keyOf = (entry: JournalEntry) => `${entry.tid} ${entry.resource} ${entry.id}`;

test(
  'the tail delivers what was committed, all of it, once, in order, while a naive tail beside it loses rows',
  async () => {
    const delivered: JournalEntry[] = [];
    const deliveredAt: number[] = [];
    const tail = new Tail({
      db: h.app,
      log: h.log,
      deliver(page) {
        for (const entry of page.entries) {
          delivered.push(entry);
          deliveredAt.push(Date.now());
        }
      },
    });
    const { safe: start } = await frontier(h.app);
    tail.start({ tid: start });
    const began = Date.now();
    const until = performance.now() + SECONDS * 1000;
    let over = false;
    const naive = naiveTail(start, () => over);
    const noise = await openTransaction(h.owner, 'INSERT INTO unrelated VALUES (3)');
    const elsewhere = await openTransaction(other.owner, "INSERT INTO item VALUES (1, 'another database')");
    try {
      await Promise.all(Array.from({ length: WRITERS }, () => write(until)));
    } finally {
      over = true;
      await Promise.all([noise.end(), elsewhere.end('ROLLBACK')]);
    }
    const { head } = await frontier(h.app);
    await waitUntil(() => wholeTid(tail.position) >= head, 'the tail has passed everything');
    await tail.stop();
    const naiveSaw = await naive;

    const { rows: committed } = await h.owner.query<{ key: string }>(
      "SELECT tid || ' ' || resource || ' ' || id AS key FROM tidemark.journal WHERE tid > $1 ORDER BY tid, resource, id",
      [start],
    );
    expect(committed.length).toBeGreaterThan(SECONDS * 50);
    expect(delivered.map(keyOf)).toEqual(committed.map((row) => row.key));
    expect(committed.filter((row) => !naiveSaw.has(row.key)).length).toBeGreaterThan(0);
    expect(versionsThatDecrease(delivered)).toEqual([]);
    for (const resource of RESOURCES) {
      expect((await h.owner.query('SELECT * FROM tidemark.drift($1)', [resource])).rows).toEqual([]);
    }
    // the open transactions elsewhere have not held anything back: deliveries went on all the time
    const pauses = deliveredAt.map((at, n) => at - (deliveredAt[n - 1] ?? began));
    expect(Math.max(...pauses)).toBeLessThan(5_000);
  },
  (SECONDS + 60) * 1000,
);

/** Entries whose row was delivered before with a higher version; a CREATE begins anew. */
function versionsThatDecrease(entries: readonly JournalEntry[]): string[] {
  const versions = new Map<string, number>();
  return entries
    .filter((entry) => {
      const row = `${entry.resource} ${entry.id}`;
      const before = entry.change === 'CREATE' ? 0 : (versions.get(row) ?? 0);
      if (entry.row_version !== null) versions.set(row, entry.row_version);
      return entry.row_version !== null && entry.row_version <= before;
    })
    .map(keyOf);
}
