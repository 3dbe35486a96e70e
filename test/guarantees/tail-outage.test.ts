import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Database } from '#libs/database';
import { Dispatcher } from '#libs/dispatch';
import { frontier, type JournalEntry } from '#libs/journal';
import { change, ITEM, RecordedLog } from '../dispatch/harness.ts';
import { type OwnServer, ownServer } from '../support/own-server.ts';
import { PATIENTLY, waitUntil } from '../support/wait-until.ts';

const CRASHES = process.env['TIDEMARK_TEST_LONG'] ? 20 : 3;

let server: OwnServer;
let owner: Database;
let app: Database;

beforeAll(async () => {
  server = await ownServer();
  owner = Database.open({ url: server.ownerUrl });
  app = Database.open({ url: server.url });
  await owner.query(ITEM);
});

afterAll(async () => {
  await Promise.all([owner?.close(), app?.close()]);
  await server?.stop();
});

const keyOf = (entry: JournalEntry) => `${entry.tid} ${entry.id}`;

/** Writes without end, as a client does that tries again when the database is away. */
async function write(from: number, over: () => boolean, committed: () => void): Promise<void> {
  for (let id = from; !over(); id++) {
    try {
      await change(owner, `INSERT INTO item VALUES (${id}); UPDATE item SET n = n + 1 WHERE id = ${id}`);
      committed();
    } catch {
      await delay(20);
    }
  }
}

test(
  'though the server is killed in the middle of bursts, everything committed is delivered once and in order',
  async () => {
    const log = new RecordedLog();
    const dispatcher = new Dispatcher({ database: app, origin: randomUUID(), name: 'test', version: '0', log });
    const told: string[] = [];
    dispatcher.listen({ name: 'recorder', onSecondary: (entry) => void told.push(keyOf(entry)) });
    const cache = dispatcher.cache<Map<string, unknown>>({
      name: 'items',
      resources: ['item'],
      load: async () => new Map(),
      apply: (state, entry) => void state.set(entry.id, entry.values['n']),
    });
    await dispatcher.start();
    const { safe: start } = await frontier(app);
    const stop = new AbortController();
    const followed: string[] = [];
    const following = (async () => {
      for await (const entries of dispatcher.follow({ after: { tid: start }, signal: stop.signal })) {
        followed.push(...entries.map(keyOf));
      }
    })();

    let over = false;
    let commits = 0;
    const writers = [1, 2, 3, 4].map((n) =>
      write(
        n * 1_000_000,
        () => over,
        () => {
          commits += 1;
        },
      ),
    );
    for (let crash = 0; crash < CRASHES; crash++) {
      const before = commits;
      await waitUntil(() => commits > before + 100, 'a burst is under way', 30_000);
      await server.kill9();
      await waitUntil(() => dispatcher.status().state === 'failing', 'the tail has noticed');
      await server.start();
    }
    const before = commits;
    await waitUntil(() => commits > before + 100, 'a last burst', 30_000);
    over = true;
    await Promise.all(writers);

    const { head } = await frontier(app);
    await dispatcher.waitFor(head, PATIENTLY);
    const { rows } = await owner.query<{ key: string }>(
      "SELECT tid || ' ' || id AS key FROM tidemark.journal WHERE tid > $1 ORDER BY tid, id",
      [start],
    );
    const journal = rows.map((row) => row.key);
    await waitUntil(() => told.length >= journal.length && followed.length >= journal.length, 'all are told');
    expect(told).toEqual(journal);
    expect(followed).toEqual(journal);
    const { rows: items } = await owner.query<{ id: number; n: number }>('SELECT id, n FROM item');
    expect([...cache.state].sort()).toEqual(items.map(({ id, n }) => [`${id}`, n]).sort());
    await waitUntil(() => dispatcher.status().doorbell.state === 'listening', 'the doorbell works again');
    expect(dispatcher.status()).toMatchObject({ state: 'running', lastError: null });
    stop.abort();
    await following;
    await dispatcher.stop();
  },
  (60 + CRASHES * 10) * 1000,
);
