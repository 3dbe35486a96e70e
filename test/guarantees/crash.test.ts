import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { type Started, startCommand } from '../cli/command.ts';
import { type OwnServer, ownServer } from '../support/own-server.ts';
import { waitUntil } from '../support/wait-until.ts';

const long = process.env['TIDEMARK_TEST_LONG'] === '1';
const SERVER_KILLS = long ? 20 : 4;
const DATABASE_KILLS = long ? 3 : 1;
const TOKEN = 'a-token-for-the-crash-test';

let postgres: OwnServer;
let folder: string;

beforeAll(async () => {
  postgres = await ownServer();
  folder = await mkdtemp(join(tmpdir(), 'tidemark-crash-'));
});

afterAll(async () => {
  await postgres.stop();
  await rm(folder, { recursive: true });
});

interface Server {
  readonly started: Started;
  readonly url: string;
}

async function startServer(): Promise<Server> {
  const env = { DATABASE_URL: postgres.url, TIDEMARK_ADMIN_TOKEN: TOKEN };
  const started = startCommand(['serve', '--port', '0', '--log-level', 'error'], env, folder);
  await waitUntil(() => started.stdout().includes('ready on'), 'the server is ready', 60_000);
  return { started, url: (/http:\/\/\S+/.exec(started.stdout()) as RegExpExecArray)[0] };
}

/** Writes through a server until stopped, and keeps what the server has acknowledged: tid → text. */
class Writer {
  readonly acknowledged = new Map<number, string>();
  /** Answers other than done and "not available at the moment". */
  readonly unexpected: string[] = [];
  server: Server;
  #stopped = false;
  #done: Promise<unknown>;

  constructor(server: Server, name: string) {
    this.server = server;
    this.#done = Promise.all([1, 2, 3, 4].map((lane) => this.#write(`${name}-${lane}`)));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #write(lane: string): Promise<void> {
    for (let n = 0; !this.#stopped; n++) {
      const text = `${lane} ${n}`;
      // some pages are hot, some are new
      const name = n % 3 === 0 ? `new/${lane}/${n}` : `hot/${n % 7}`;
      try {
        const answer = await fetch(`${this.server.url}/wiki/${encodeURIComponent(name)}`, {
          method: 'PUT',
          headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
          body: JSON.stringify({ text }),
        });
        const body = await answer.text();
        const tid = answer.headers.get('tidemark-tid');
        if (answer.ok && tid !== null) this.acknowledged.set(Number(tid), text);
        else if (!answer.ok && answer.status !== 503) this.unexpected.push(`${answer.status} ${body}`);
      } catch (error) {
        // the server or the database was killed under the request
        if ((error as Error).name !== 'TypeError') throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}

it('kill -9 of servers and of PostgreSQL under writes loses nothing that was acknowledged, and journals nothing that was not done', async () => {
  const writers = [new Writer(await startServer(), 'a'), new Writer(await startServer(), 'b')] as const;
  const began = performance.now();
  for (let kill = 0; kill < SERVER_KILLS; kill++) {
    const [victim, other] = kill % 2 === 0 ? writers : [writers[1], writers[0]];
    const before = victim.acknowledged.size;
    await waitUntil(() => victim.acknowledged.size > before + 40, 'the victim writes', 30_000);
    victim.server.started.process.kill('SIGKILL');
    await victim.server.started.ended;
    const served = other.acknowledged.size;
    await waitUntil(() => other.acknowledged.size > served + 20, 'the other server serves on', 30_000);
    victim.server = await startServer();
    if (kill % Math.ceil(SERVER_KILLS / DATABASE_KILLS) === 0) {
      await postgres.kill9();
      await postgres.start();
      for (const writer of writers) {
        const recovered = writer.acknowledged.size;
        await waitUntil(() => writer.acknowledged.size > recovered + 20, 'a server recovers by itself', 30_000);
      }
    }
  }
  await Promise.all(writers.map((writer) => writer.stop()));
  const total = writers[0].acknowledged.size + writers[1].acknowledged.size;
  const seconds = (performance.now() - began) / 1000;
  process.stdout.write(
    `${total} acknowledged writes, ${(total / seconds).toFixed(0)}/s, ${SERVER_KILLS} + ${DATABASE_KILLS} kills\n`,
  );

  expect(writers.flatMap((writer) => writer.unexpected)).toEqual([]);

  const owner = Database.open({ url: postgres.ownerUrl });
  try {
    expect((await owner.query(`SELECT * FROM tidemark.drift('wiki')`)).rows).toEqual([]);
    const { rows: bare } = await owner.query(
      `SELECT tid, id FROM wiki_journal j WHERE change <> 'DELETE' AND NOT EXISTS (SELECT FROM wiki_history h WHERE h.tid = j.tid AND h.id = j.id)
       UNION ALL SELECT tid, id FROM wiki_history h WHERE NOT EXISTS (SELECT FROM wiki_journal j WHERE j.tid = h.tid AND j.id = h.id)`,
    );
    expect(bare).toEqual([]);
    const { rows } = await owner.query<{ tid: number; value: string }>(
      `SELECT tid, value #>> '{}' AS value FROM wiki_history WHERE field = 'text'`,
    );
    const journaled = new Map(rows.map((row) => [row.tid, row.value]));
    const lost = writers.flatMap((writer) =>
      [...writer.acknowledged].filter(([tid, text]) => journaled.get(tid) !== text),
    );
    expect(lost).toEqual([]);
  } finally {
    await owner.close();
    for (const writer of writers) writer.server.started.process.kill('SIGTERM');
    await Promise.all(writers.map((writer) => writer.server.started.ended));
  }
}, 600_000);
