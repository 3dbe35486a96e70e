import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Queryable } from '#libs/database';
import { Tail, wholeTid } from '#libs/dispatch';
import { frontier, type JournalPage, type Position } from '#libs/journal';
import { OwnConnection } from '../../libs/dispatch/own-connection.ts';
import { waitUntil } from '../support/wait-until.ts';
import { change, type Harness, harness, inTransaction, openTransaction } from './harness.ts';

let h: Harness;
const tails: Tail[] = [];

beforeAll(async () => {
  h = await harness();
});

afterEach(async () => {
  await Promise.all(tails.splice(0).map((tail) => tail.stop()));
});

afterAll(() => h.close());

interface Seen {
  readonly tail: Tail;
  readonly keys: string[];
  readonly pages: { entries: number; bytes: number; position: Position }[];
}

function startTail(start: Position, db: Queryable = h.app): Seen {
  const keys: string[] = [];
  const pages: Seen['pages'] = [];
  const deliver = (page: JournalPage, position: Position) => {
    for (const entry of page.entries) keys.push(`${entry.tid} ${entry.id}`);
    pages.push({ entries: page.entries.length, bytes: page.bytes, position });
  };
  const tail = new Tail({ db, log: h.log, deliver });
  tails.push(tail);
  tail.start(start);
  return { tail, keys, pages };
}

async function journal(after: number): Promise<string[]> {
  const { rows } = await h.owner.query<{ key: string }>(
    "SELECT tid || ' ' || id AS key FROM tidemark.journal WHERE tid > $1 ORDER BY tid, resource, id",
    [after],
  );
  return rows.map((row) => row.key);
}

const safeNow = async () => (await frontier(h.app)).safe;
let lastId = 1_000_000;
const insert = () => `INSERT INTO item VALUES (${++lastId}, 'x')`;

async function expectAll(seen: Seen, after: number): Promise<void> {
  const { head } = await frontier(h.app);
  await waitUntil(() => wholeTid(seen.tail.position) >= head, `the tail has passed tid ${head}`);
  expect(seen.keys).toEqual(await journal(after));
}

describe('from an empty database', () => {
  test('the first change of all is delivered, whether the tail starts at the safe tid or at nothing', async () => {
    const empty = await harness();
    try {
      const from = [{ tid: 0 }, { tid: await frontier(empty.app).then(({ safe }) => safe) }];
      const seen = from.map((start) => startTail(start, empty.app));
      await change(empty.app, "INSERT INTO item VALUES (1, 'first')");
      await waitUntil(() => seen.every(({ keys }) => keys.length > 0), 'both have seen the first change');
      expect(seen.map(({ keys }) => keys)).toEqual([['2 1'], ['2 1']]);
      await Promise.all(tails.splice(0).map((tail) => tail.stop()));
    } finally {
      await empty.close();
    }
  });
});

describe('what happens between two steps of a round', () => {
  const steps = ['tidemark_read', 'tidemark_frontier', 'tidemark_read again'] as const;
  const events = [
    'the lower tid commits',
    'the lower tid rolls back',
    'another commits above',
    'another draws and stays open',
  ] as const;
  const cases = steps.flatMap((step) =>
    [false, true].flatMap((afterwards) =>
      events.map((event) => [event, afterwards ? 'after' : 'before', step] as const),
    ),
  );

  test.each(cases)('%s, %s %s: nothing is skipped, repeated or reordered', async (event, when, step) => {
    const start = await safeNow();
    const lower = await openTransaction(h.owner, insert());
    await change(h.owner, insert());
    let open: Awaited<ReturnType<typeof openTransaction>> | undefined;
    let lowerEnded = false;
    const happen = async () => {
      lowerEnded = event.startsWith('the lower');
      if (event === 'the lower tid commits') await lower.end('COMMIT');
      else if (event === 'the lower tid rolls back') await lower.end('ROLLBACK');
      else if (event === 'another commits above') await change(h.owner, insert());
      else open = await openTransaction(h.owner, insert());
    };
    const connection = between(step, when, happen);
    const seen = startTail({ tid: start }, connection);
    await waitUntil(() => connection.statementsSince() >= 4, 'it has happened, and a round has gone by');
    if (!lowerEnded) expect(seen.keys).toEqual([]);
    if (!lowerEnded) await lower.end();
    await change(h.owner, insert());
    await open?.end();
    await expectAll(seen, start);
  });

  /** A connection on which something happens once, before or after the first statement of a kind. */
  function between(
    step: (typeof steps)[number],
    when: string,
    happen: () => Promise<void>,
  ): Queryable & { statementsSince(): number } {
    let reads = 0;
    let since: number | undefined;
    return {
      statementsSince: () => since ?? 0,
      async query(text, values, name) {
        if (name === 'tidemark_read') reads += 1;
        const now =
          since === undefined &&
          (step === 'tidemark_read again' ? name === 'tidemark_read' && reads > 1 : name === step);
        if (now && when === 'before') await happen();
        const answer = await h.app.query(text, values, name);
        if (now && when === 'after') await happen();
        if (now) since = 0;
        else if (since !== undefined) since += 1;
        return answer as never;
      },
    };
  }
});

test('a rolled-back change leaves a gap that delays nothing', async () => {
  const start = await safeNow();
  const seen = startTail({ tid: start });
  const doomed = await openTransaction(h.owner, insert());
  await change(h.owner, insert());
  await waitUntil(() => seen.tail.status.head > seen.tail.status.safe, 'the tail is held');
  expect(seen.keys).toEqual([]);
  await doomed.end('ROLLBACK');
  await expectAll(seen, start);
  expect(seen.keys).toHaveLength(1);
});

test('a tid of 20,000 rows comes in bounded pages, each row once, and counts as passed only at its end', async () => {
  const start = await safeNow();
  const seen = startTail({ tid: start });
  const tid = await change(h.owner, "INSERT INTO item SELECT n, 'many' FROM generate_series(1, 20000) n");
  await expectAll(seen, start);
  expect(seen.keys).toHaveLength(20_000);
  expect(Math.max(...seen.pages.map((page) => page.entries))).toBeLessThanOrEqual(2_000);
  const passed = seen.pages.filter(({ position }) => wholeTid(position) >= tid).length;
  expect(seen.pages.length - passed).toBeGreaterThanOrEqual(9);
});

test('pages of large values are bounded by bytes', async () => {
  const start = await safeNow();
  await change(h.owner, "UPDATE item SET name = repeat('5 megabytes', 480000) WHERE id <= 8");
  await change(h.owner, "UPDATE item SET name = repeat('x', 4000000) WHERE id BETWEEN 9 AND 12");
  const seen = startTail({ tid: start });
  await expectAll(seen, start);
  expect(Math.max(...seen.pages.map((page) => page.bytes))).toBeLessThan(14 * 1024 * 1024);
  expect(seen.pages.length).toBeGreaterThan(4);
});

test('a lost connection costs nothing but time', async () => {
  const start = await safeNow();
  const connection = new OwnConnection(() => h.app.listenClient());
  const seen = startTail({ tid: start }, connection);
  for (let n = 0; n < 200; n++) {
    await change(h.owner, insert());
    if (n % 50 === 25) {
      await h.owner.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ 'tidemark[.](journal|frontier)'`,
      );
    }
  }
  await expectAll(seen, start);
  expect(h.log.lines.filter(({ message }) => message === 'the journal cannot be read').length).toBeGreaterThan(0);
  await Promise.all(tails.splice(0).map((tail) => tail.stop()));
  connection.close();
});

test('a session that is not READ COMMITTED is refused, and says so', async () => {
  const start = await safeNow();
  const connection = await h.app.connect();
  await connection.query("SET default_transaction_isolation = 'repeatable read'");
  const seen = startTail({ tid: start - 1 }, connection);
  await waitUntil(() => seen.tail.status.state === 'failing', 'the tail has failed');
  expect(seen.tail.status.lastError).toMatch(/READ COMMITTED/);
  await Promise.all(tails.splice(0).map((tail) => tail.stop()));
  connection.release(new Error('not to be used again'));
});

test('a journal that ends before the position is refused loudly, and nothing is delivered', async () => {
  const { head } = await frontier(h.app);
  const seen = startTail({ tid: head + 1000 });
  await waitUntil(() => seen.tail.status.state === 'failing', 'the tail has failed');
  expect(seen.tail.status.lastError).toMatch(/set back/);
  expect(seen.keys).toEqual([]);
});

test('two changes of one transaction come in the order of their tids', async () => {
  const start = await safeNow();
  const seen = startTail({ tid: start });
  await inTransaction(h.owner, async (connection) => {
    await connection.query(insert());
    await connection.query(insert());
  });
  await expectAll(seen, start);
  expect(seen.keys).toHaveLength(2);
});
