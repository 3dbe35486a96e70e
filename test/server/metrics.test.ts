import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import type { Kernel } from '#libs/kernel';
import { type OwnServer, ownServer } from '../support/own-server.ts';
import { repositoryRoot } from '../support/repository-root.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Family, parseExposition } from './exposition.ts';
import { raw } from './raw.ts';
import { type TestServer, testServer } from './server-fixture.ts';

let database: TestDatabase;
let server: TestServer;

beforeAll(async () => {
  database = await testDatabase();
  server = await testServer(database.url);
});
const others: TestServer[] = [];
afterEach(async () => {
  for (const other of others.splice(0)) await other.close();
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

/** One more server on the database, for one test. */
async function another(prepare?: (kernel: Kernel) => void): Promise<TestServer> {
  const other = await testServer(database.url, {}, prepare === undefined ? {} : { prepare });
  others.push(other);
  return other;
}

async function scrape(of: TestServer = server): Promise<Map<string, Family>> {
  const answer = await fetch(`${of.url}/metrics`);
  expect([answer.status, answer.headers.get('content-type')]).toEqual([
    200,
    'text/plain; version=0.0.4; charset=utf-8',
  ]);
  return parseExposition(await answer.text());
}

function value(families: Map<string, Family>, series: string): number | undefined {
  return families.get(series.replace(/\{.*/, ''))?.samples.get(series);
}

describe('the format', () => {
  it.each([
    ['a sample without its TYPE', 'a_total 1\n'],
    ['a name twice', '# HELP a b\n# TYPE a gauge\na 1\n# HELP a b\n# TYPE a gauge\n'],
    ['a series twice', '# HELP a b\n# TYPE a gauge\na{x="1"} 1\na{x="1"} 2\n'],
    ['a counter without _total', '# HELP a b\n# TYPE a counter\na 1\n'],
    ['a value that is no number', '# HELP a b\n# TYPE a gauge\na one\n'],
    ['a quote in a label', '# HELP a b\n# TYPE a gauge\na{x="""} 1\n'],
    ['no end of the last line', '# HELP a b\n# TYPE a gauge\na 1'],
    [
      'a bucket that is lower than the one before',
      '# HELP a b\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_count 1\na_sum 1\n',
    ],
    ['a histogram without +Inf', '# HELP a b\n# TYPE a histogram\na_bucket{le="1"} 2\na_count 2\na_sum 1\n'],
  ])('%s is refused by the check', (_, text) => {
    expect(() => parseExposition(text)).toThrow();
  });

  it('is kept by what the server tells, after requests of all kinds', async () => {
    await server.put('Metric "quoted" \\', 'text');
    await server.ask('/wiki/Nothing');
    await server.ask('/journal?wait=31');
    const families = await scrape();
    expect(families.get('tidemark_http_request_duration_seconds')?.type).toBe('histogram');
    expect([...families.keys()].filter((name) => !/^(tidemark|process|nodejs)_/.test(name))).toEqual([]);
    for (const name of ['process_resident_memory_bytes', 'nodejs_eventloop_lag_seconds']) {
      expect(families.get(name)?.samples.size).toBe(1);
    }
  });
});

it('docs/metrics.md has a row for each metric, as the server tells it', async () => {
  const families = [...(await scrape())].filter(([name]) => name.startsWith('tidemark_'));
  const rows = families.map(([name, { type, help }]) => `| \`${name}\` | ${type} | ${help} |`);
  const page = readFileSync(join(repositoryRoot(), 'docs/metrics.md'), 'utf8');
  expect(page.split('\n').filter((line) => /^\| `\w+` \| (counter|gauge|histogram) \|/.test(line))).toEqual(rows);
});

describe('requests', () => {
  it('are counted under the template of their route', async () => {
    const series = 'tidemark_http_requests_total{method="GET",route="/wiki/:name",status="404"}';
    const before = value(await scrape(), series) ?? 0;
    for (let n = 0; n < 5; n++) await server.ask(`/wiki/Missing${n}`);
    const families = await scrape();
    expect(value(families, series)).toBe(before + 5);
    const durations = families.get('tidemark_http_request_duration_seconds')?.samples;
    const count = series.replace('requests_total', 'request_duration_seconds_count');
    expect(durations?.get(count)).toBe(before + 5);
  });

  it('to 1,000 unknown paths with whatever method and garbage make one series per status', async () => {
    const own = await another();
    const methods = ['GET', 'POST', 'PROPFIND', 'DELETE', 'MKCOL'];
    for (let n = 0; n < 1_000; n += 50) {
      const paths = Array.from({ length: 50 }, (_, i) => `/unknown-${n + i}?x=${n}`);
      await Promise.all(paths.map((path, i) => own.ask(path, { method: methods[i % 5] as string })));
    }
    for (let n = 0; n < 50; n++) await raw(own.url, `BREW${n} /pot HTTP/1.1\r\n\r\n`);
    await own.ask('/wiki', { method: 'PROPFIND' });
    const families = await scrape(own);
    const series = families.get('tidemark_http_requests_total')?.samples;
    expect(Object.fromEntries(series ?? [])).toEqual({
      'tidemark_http_requests_total{method="unmatched",route="unmatched",status="404"}': 1_000,
      'tidemark_http_requests_total{method="unmatched",route="unmatched",status="400"}': 50,
      'tidemark_http_requests_total{method="unmatched",route="unmatched",status="405"}': 1,
    });
  });
});

it('two servers of one process count for themselves', async () => {
  const other = await another();
  await other.ask('/status');
  const series = 'tidemark_http_requests_total{method="GET",route="/status",status="200"}';
  expect(value(await scrape(other), series)).toBe(1);
  expect(value(await scrape(), series)).toBeUndefined();
});

it('pools, tail, caches and doorbell are told', async () => {
  const { tid } = await (await server.put('Told', 'text')).json();
  await server.ask('/wiki', { headers: { 'tidemark-wait-for': String(tid) } });
  const families = await scrape();
  expect(value(families, 'tidemark_pool_max_connections{pool="main"}')).toBe(10);
  expect(value(families, 'tidemark_pool_connections{pool="main"}')).toBeGreaterThan(0);
  expect(value(families, 'tidemark_tail_position_tid')).toBe(tid);
  expect(value(families, 'tidemark_tail_state{state="running"}')).toBe(1);
  const delivered = value(families, 'tidemark_tail_last_delivery_timestamp_seconds') as number;
  expect(Math.abs(Date.now() / 1000 - delivered)).toBeLessThan(60);
  expect(value(families, 'tidemark_cache_position_tid{cache="page-names"}')).toBe(tid);
  expect(value(families, 'tidemark_doorbell_up')).toBe(1);
});

it('an open journal writer is seen as the age of the floor and as lag', async () => {
  const own = await another();
  const other = Database.open({ url: database.url, poolSize: 1 });
  const connection = await other.connect();
  await connection.query('BEGIN');
  await connection.query(`INSERT INTO wiki (name, text) VALUES ('Held', 'text')`);
  const { tid } = await (await own.put('Behind', 'text')).json();
  const families = await scrape(own);
  expect(value(families, 'tidemark_journal_head_tid')).toBe(tid);
  expect(value(families, 'tidemark_journal_unsafe_tids')).toBe(2);
  expect(value(families, 'tidemark_floor_holders')).toBe(1);
  expect(value(families, 'tidemark_floor_age_seconds')).toBeGreaterThan(0);
  expect(value(families, 'tidemark_tail_lag_rows')).toBe(1);
  expect(value(families, 'tidemark_tail_lag_seconds')).toBeGreaterThan(0);
  await connection.query('ROLLBACK');
  connection.release();
  await other.close();
});

it('listeners are told by their name', async () => {
  const own = await another((kernel) =>
    kernel.dispatcher.listen({
      name: 'grumpy',
      resources: ['wiki'],
      onSecondary: ({ values }) => {
        if (values['name'] === 'Bad') throw new Error('no');
      },
    }),
  );
  for (const name of ['Good', 'Bad', 'Better']) await server.put(name, 'text');
  const seen = async () => {
    const families = await scrape(own);
    return ['deliveries', 'failures'].map((what) =>
      value(families, `tidemark_listener_${what}_total{listener="grumpy"}`),
    );
  };
  await waitUntil(async () => (await seen()).join() === '2,1', 'the listener is told');
});

it('effects are told by listener and state, and what this process did for them', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const own = await testServer(
    database.url,
    {},
    {
      limits: { look: 0 },
      prepare: (kernel) => {
        kernel.listen({ name: 'hopeless', attempts: 1, onPrimary: () => Promise.reject(new Error('no')) });
        kernel.listen({ name: 'slow', onPrimary: () => promise });
        kernel.listen({ name: 'quick', onPrimary: () => undefined });
      },
    },
  );
  others.push(own);
  for (const name of ['One', 'Two']) await own.put(name, 'text');
  const told = async (series: string) => value(await scrape(own), `tidemark_${series}`);
  await waitUntil(async () => (await told('effects{listener="hopeless",state="parked"}')) === 2, 'they are parked');
  await waitUntil(async () => (await told('effects_running{listener="slow"}')) === 2, 'they run');
  const families = await scrape(own);
  const now = (series: string) => value(families, `tidemark_${series}`);
  expect([now('effects{listener="slow",state="pending"}'), now('effects{listener="hopeless",state="failed"}')]).toEqual(
    [2, 0],
  );
  expect(now('effect_attempts_total{listener="hopeless",outcome="failed"}')).toBe(2);
  expect(now('effects_waiting_seconds{listener="slow"}')).toBeGreaterThan(0);
  expect(now('effect_listener_processes{listener="slow"}')).toBe(1);
  expect(now('effect_listener_paused{listener="slow"}')).toBe(0);
  resolve();
  await waitUntil(
    async () => (await told('effect_attempts_total{listener="quick",outcome="done"}')) === 2,
    'they are done',
  );
  await waitUntil(async () => (await told('effects{listener="slow",state="pending"}')) === 0, 'nothing is open');
  expect(await told('effect_attempt_seconds_total{listener="slow"}')).toBeGreaterThan(0);
  await waitUntil(
    async () => (await told('effect_listener_lag_rows{listener="quick"}')) === 0,
    'the position has passed',
  );
  expect(await told('effect_listener_lag_seconds{listener="quick"}')).toBe(0);
});

describe('a database that is away', () => {
  let postgres: OwnServer;
  let own: TestServer;

  beforeAll(async () => {
    postgres = await ownServer();
    own = await testServer(postgres.url, {}, { limits: { look: 100 } });
  });
  afterAll(async () => {
    await own?.close();
    await postgres?.stop();
  });

  it('does not delay a scrape, and is told', async () => {
    expect(value(await scrape(own), 'tidemark_database_up')).toBe(1);
    await postgres.kill9();
    await waitUntil(async () => {
      const since = performance.now();
      const families = await scrape(own);
      expect(performance.now() - since).toBeLessThan(2_000);
      return value(families, 'tidemark_database_up') === 0;
    }, 'the outage is seen');
    const families = await scrape(own);
    for (const gone of [
      'tidemark_floor_age_seconds',
      'tidemark_journal_head_tid',
      'tidemark_tail_lag_rows',
      'tidemark_effects',
    ]) {
      expect(families.get(gone)?.samples.size).toBe(0);
    }
    expect(value(families, 'tidemark_tail_position_tid')).toBeGreaterThanOrEqual(0);
    await postgres.start();
    await waitUntil(async () => value(await scrape(own), 'tidemark_database_up') === 1, 'it is found again', 30_000);
  });
});

it('a pool of which nothing is left does not delay a scrape', async () => {
  const own = await another();
  const taken = await Promise.all(Array.from({ length: 10 }, () => own.database.connect()));
  try {
    const since = performance.now();
    const families = await scrape(own);
    expect(performance.now() - since).toBeLessThan(2_000);
    expect(value(families, 'tidemark_database_up')).toBe(0);
    expect(value(families, 'tidemark_pool_waiting_requests{pool="main"}')).toBeGreaterThanOrEqual(1);
  } finally {
    for (const connection of taken) connection.release();
  }
});
