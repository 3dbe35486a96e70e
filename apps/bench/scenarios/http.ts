import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { migrate, migrationsFolder } from '../../../dist/libs/migrations/index.js';
import { type Figure, percentile, ratios } from '../figures.ts';
import { HttpConnection } from '../http/client.ts';
import { execute, openServer, type Server } from '../server.ts';
import { type Command, start, terminate, tidemark } from './command.ts';
import type { Scenario } from './scenario.ts';
import { atFixedRate } from './steady.ts';

const IN_FLIGHT = 16;
const PAGES = 1_000;
const READS_PER_SECOND = 500;
export const TOKEN = 'a-token-for-the-benchmark';
export const HEADERS = `Authorization: Bearer ${TOKEN}\r\n`;

export interface Target {
  readonly url: string;
  readonly command: Command;
}

type Change = (n: number) => readonly [method: string, path: string, body: string];

/** Mutations over HTTP beside a bare Fastify + Kysely UPDATE, and reads at a fixed rate. */
export const http: Scenario = {
  title: 'HTTP: one-row mutations per second, and GET by id at a fixed rate',
  async run(options, say) {
    const server = await openServer(options.databaseUrl);
    const targets: Target[] = [];
    try {
      const bare = await bareServer(server);
      targets.push(bare);
      const program = await tidemarkServer(server);
      targets.push(program);
      const measured: Record<string, { target: Target; change: Change; runs: number[] }> = {
        bare: { target: bare, change: putPage, runs: [] },
        page: { target: program, change: putPage, runs: [] },
        ticket: { target: program, change: patchTicket, runs: [] },
      };
      const seconds = options.seconds ?? (options.quick ? 2 : 10);
      const runs = options.runs ?? (options.quick ? 2 : 5);
      say('warming up');
      for (const { target, change } of Object.values(measured)) await changesPerSecond(target, change, 2);
      for (let run = 1; run <= runs; run++) {
        say(`run ${run} of ${runs}`);
        for (const one of Object.values(measured)) {
          one.runs.push(await changesPerSecond(one.target, one.change, seconds));
        }
      }
      const reads: number[][] = [];
      for (let run = 1; run <= runs; run++) {
        say(`reads, run ${run} of ${runs}`);
        reads.push(await readSteadily(program, seconds));
      }
      const { bare: b, page, ticket } = measured;
      return figures(b?.runs ?? [], page?.runs ?? [], ticket?.runs ?? [], reads);
    } finally {
      for (const { command } of targets) await terminate(command);
      await server.close();
    }
  },
};

function figures(bare: number[], page: number[], ticket: number[], reads: number[][]): Figure[] {
  const target = { target: { atLeast: 0.45 } };
  const of = (percent: number) => reads.map((run) => percentile(run, percent));
  return [
    { name: `bare Fastify + Kysely UPDATE, ${IN_FLIGHT} in flight`, unit: '/s', runs: bare },
    { name: 'PUT /wiki/{name}', unit: '/s', runs: page },
    { name: 'PATCH /tickets/{id}', unit: '/s', runs: ticket },
    { name: 'PUT /wiki/{name} / bare', unit: '×', runs: ratios(page, bare), ...target },
    { name: 'PATCH /tickets/{id} / bare', unit: '×', runs: ratios(ticket, bare), ...target },
    { name: `GET /tickets/{id} at ${READS_PER_SECOND}/s: p50`, unit: 'ms', runs: of(50) },
    { name: `GET /tickets/{id} at ${READS_PER_SECOND}/s: p99`, unit: 'ms', runs: of(99), target: { atMost: 10 } },
  ];
}

async function changesPerSecond({ url }: Target, change: Change, seconds: number): Promise<number> {
  const started = performance.now();
  const end = started + seconds * 1000;
  let done = 0;
  const worker = async () => {
    const connection = await HttpConnection.open(url);
    while (performance.now() < end) {
      const [method, path, body] = change(done++);
      const answer = await connection.ask(method, path, HEADERS, body);
      if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return done / ((performance.now() - started) / 1000);
}

/** Milliseconds from the moment at which each request was due: a late one counts from then, too. */
async function readSteadily({ url }: Target, seconds: number): Promise<number[]> {
  const free = await Promise.all(Array.from({ length: 64 }, () => HttpConnection.open(url)));
  const all = [...free];
  const took: number[] = [];
  await atFixedRate({ perSecond: READS_PER_SECOND, seconds }, async (n, due) => {
    const connection = free.pop() ?? (await HttpConnection.open(url));
    const { status } = await connection.ask('GET', `/tickets/${idOf(n)}`, HEADERS);
    if (status !== 200) throw new Error(`GET: ${status}`);
    took.push(performance.now() - due);
    free.push(connection);
  });
  for (const connection of new Set([...all, ...free])) connection.close();
  return took;
}

async function bareServer(server: Server): Promise<Target> {
  const url = await server.createDatabase();
  await execute(
    url,
    `CREATE TABLE page (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text NOT NULL UNIQUE, text text NOT NULL,
       readonly boolean NOT NULL DEFAULT false)`,
    `INSERT INTO page (name, text) SELECT 'Page' || n, 'text' FROM generate_series(1, ${PAGES}) AS n`,
    'VACUUM (ANALYZE)',
  );
  return ready(start(process.execPath, [join(import.meta.dirname, '../http/bare-server.ts'), url], {}));
}

async function tidemarkServer(server: Server): Promise<Target> {
  const url = await server.createDatabase();
  await migrate(url, [migrationsFolder]);
  await execute(
    url,
    `INSERT INTO wiki (name, text) SELECT 'Page' || n, 'text' FROM generate_series(1, ${PAGES}) AS n`,
    `INSERT INTO ticket (summary) SELECT 'Ticket ' || n FROM generate_series(1, ${PAGES}) AS n`,
    'VACUUM (ANALYZE)',
  );
  return serve(url);
}

/** A server process on a database, once it answers. */
export async function serve(url: string): Promise<Target> {
  const env = { DATABASE_URL: url, TIDEMARK_ADMIN_TOKEN: TOKEN };
  return ready(tidemark(['serve', '--port', '0', '--log-level', 'warn'], env));
}

/** Waits until a server says where it is; one that does not is ended. */
async function ready(command: Command): Promise<Target> {
  for (let tries = 0; tries < 600; tries++) {
    const url = /ready on (http:\/\/\S+)/.exec(command.output())?.[1];
    if (url !== undefined) return { url, command };
    if (command.process.exitCode !== null) break;
    await pause(50);
  }
  await terminate(command);
  throw new Error(`the server is not ready: ${command.output()}`);
}

function putPage(n: number) {
  return ['PUT', `/wiki/Page${idOf(n)}`, JSON.stringify({ text: `text ${n} ${Math.random()}` })] as const;
}

function patchTicket(n: number) {
  return ['PATCH', `/tickets/${idOf(n)}`, JSON.stringify({ description: `text ${n} ${Math.random()}` })] as const;
}

function idOf(n: number): number {
  return 1 + ((n * 79) % PAGES);
}
