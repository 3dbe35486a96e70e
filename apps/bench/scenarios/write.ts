import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql';
import pg from 'pg';
import { type Figure, ratios } from '../figures.ts';
import { openProcess, type TaskRow, task } from '../process.ts';
import { processorTime } from '../processor.ts';
import { createJournaled, execute, openServer, type Server, TASKS } from '../server.ts';
import type { Scenario } from './scenario.ts';

const CONNECTIONS = 16;

interface Writer {
  /** The database it writes to, alone. */
  readonly url: string;
  /** Changes one row, or appends one event: the nth of a run. */
  write(n: number): Promise<unknown>;
}

/** Of one run: mutations per second, and microseconds of processor time that one took in this process and the server. */
interface Measured {
  readonly rate: number;
  readonly cost: number;
}

/** One-row mutations: ModelTransaction beside Emmett's append and a plain UPDATE, in turns. */
export const write: Scenario = {
  title: 'one-row mutations per second, each committed and durable',
  async run(options, say) {
    const server = await openServer(options.databaseUrl);
    const closing: (() => Promise<unknown>)[] = [() => server.close()];
    try {
      const writers: Record<string, Writer> = {
        'plain UPDATE by pg': await plainUpdate(server, closing),
        ModelTransaction: await modelTransaction(server, closing, false),
        'ModelTransaction, own tail running': await modelTransaction(server, closing, true),
        'Emmett append': await emmettAppend(server, closing),
      };
      const seconds = options.seconds ?? (options.quick ? 1 : 5);
      const runs = options.runs ?? (options.quick ? 2 : 5);
      say('warming up');
      for (const one of Object.values(writers)) await measure(one, CONNECTIONS, 1);
      const measured = new Map<string, Measured[]>();
      for (let run = 1; run <= runs; run++) {
        say(`run ${run} of ${runs}`);
        for (const inFlight of [1, CONNECTIONS]) {
          for (const [name, one] of Object.entries(writers)) {
            const key = `${name}, ${inFlight} in flight`;
            measured.set(key, [...(measured.get(key) ?? []), await measure(one, inFlight, seconds)]);
          }
        }
      }
      return figures(measured);
    } finally {
      for (const close of closing.reverse()) await close();
    }
  },
};

function figures(measured: ReadonlyMap<string, Measured[]>): Figure[] {
  const of = (name: string, inFlight: number, what: keyof Measured) =>
    (measured.get(`${name}, ${inFlight} in flight`) ?? []).map((run) => run[what]);
  const compared = [1, CONNECTIONS].flatMap((inFlight): Figure[] => {
    const target = inFlight === CONNECTIONS ? { target: { atLeast: 1.3 } } : {};
    const against = (other: string) => ratios(of('ModelTransaction', inFlight, 'rate'), of(other, inFlight, 'rate'));
    const costs = ratios(of('Emmett append', inFlight, 'cost'), of('ModelTransaction', inFlight, 'cost'));
    return [
      {
        name: `ModelTransaction / Emmett append, ${inFlight} in flight`,
        unit: '×',
        runs: against('Emmett append'),
        ...target,
      },
      { name: `the same by processor time, ${inFlight} in flight`, unit: '×', runs: costs },
      {
        name: `ModelTransaction / plain UPDATE, ${inFlight} in flight`,
        unit: '×',
        runs: against('plain UPDATE by pg'),
      },
    ];
  });
  const single = [...measured].flatMap(([name, runs]): Figure[] => [
    { name, unit: '/s', runs: runs.map((run) => run.rate) },
    { name: '  processor time of one', unit: 'µs', runs: runs.map((run) => run.cost) },
  ]);
  return [...single, ...compared];
}

async function measure({ url, write }: Writer, inFlight: number, seconds: number): Promise<Measured> {
  const before = await processorTime(url);
  const started = performance.now();
  const end = started + seconds * 1000;
  let done = 0;
  const worker = async () => {
    while (performance.now() < end) await write(done++);
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  const rate = done / ((performance.now() - started) / 1000);
  return { rate, cost: ((await processorTime(url)) - before) / done };
}

async function plainUpdate(server: Server, closing: (() => Promise<unknown>)[]): Promise<Writer> {
  const url = await server.createDatabase();
  await execute(
    url,
    `CREATE TABLE task (id bigint PRIMARY KEY, title text NOT NULL, state text NOT NULL, points integer NOT NULL)`,
    `INSERT INTO task SELECT id, 'task ' || id, 'open', 0 FROM generate_series(1, ${TASKS}) AS id`,
    'VACUUM (ANALYZE)',
  );
  const pool = openPool(url);
  closing.push(() => pool.end());
  const text = 'UPDATE task SET title = $2, state = $3, points = $4 WHERE id = $1';
  const write = (n: number) => {
    const { title, state, points } = values(n);
    return pool.query({ name: 'update', text, values: [idOf(n), title, state, points] });
  };
  return { url, write };
}

async function modelTransaction(server: Server, closing: (() => Promise<unknown>)[], tail: boolean): Promise<Writer> {
  const url = await createJournaled(server);
  const kernel = await openProcess(url, { poolSize: CONNECTIONS });
  if (tail) await kernel.start();
  closing.push(async () => {
    if (tail) await kernel.stop();
    await kernel.database.close();
  });
  const write = (n: number) => kernel.transaction({ author: 'bench' }, (tx) => tx.save(task, idOf(n), values(n)));
  return { url, write };
}

async function emmettAppend(server: Server, closing: (() => Promise<unknown>)[]): Promise<Writer> {
  const url = await server.createDatabase();
  const pool = openPool(url);
  const store = getPostgreSQLEventStore(url, { connectionOptions: { pool } });
  await store.schema.migrate();
  closing.push(async () => {
    await store.close();
    await pool.end();
  });
  const write = (n: number) =>
    store.appendToStream(`task-${idOf(n)}`, [{ type: 'TaskChanged', data: { ...values(n) } }]);
  return { url, write };
}

function openPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: CONNECTIONS });
  // end() returns before the server has closed the sessions; dropping the database then ends them
  return pool.on('error', () => undefined);
}

function idOf(n: number): number {
  return 1 + ((n * 7919) % TASKS);
}

/** Differs from what the row held: a statement that changes nothing would journal nothing. */
function values(n: number): Omit<TaskRow, 'id'> {
  const round = Math.random().toString(36).slice(2, 8);
  return { title: `task ${n} ${round}`, state: `state ${round}`, points: Math.trunc(Math.random() * 1e9) };
}
