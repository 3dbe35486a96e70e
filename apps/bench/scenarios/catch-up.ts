import pg from 'pg';
import { readEntries } from '../../../dist/libs/journal/index.js';
import type { Figure } from '../figures.ts';
import { openProcess } from '../process.ts';
import { createJournaled, openServer, TASKS } from '../server.ts';
import type { Scenario } from './scenario.ts';

type Kernel = Awaited<ReturnType<typeof openProcess>>;

const WRITERS = 4;

/** A process that was away reads what it missed: one row of three changed fields per tid. */
export const catchUp: Scenario = {
  title: 'changes per second, new values included, from the beginning of the journal',
  async run(options, say) {
    const server = await openServer(options.databaseUrl);
    const closing: (() => Promise<unknown>)[] = [() => server.close()];
    try {
      const url = await createJournaled(server);
      const changes = options.quick ? 60_000 : 300_000;
      say(`writing ${changes.toLocaleString('en')} changes`);
      await fill(url, changes);
      const kernel = await openProcess(url, { poolSize: 4 });
      closing.push(() => kernel.database.close());
      await kernel.start();
      closing.push(() => kernel.stop());

      const followed: number[] = [];
      const read: number[] = [];
      for (let run = 1; run <= (options.runs ?? (options.quick ? 2 : 5)); run++) {
        say(`run ${run}`);
        followed.push(await rate(() => follow(kernel, changes)));
        read.push(await rate(() => readPages(kernel)));
      }
      return figures(followed, read, changes);
    } finally {
      for (const close of closing.reverse()) await close();
    }
  },
};

function figures(followed: number[], read: number[], changes: number): Figure[] {
  const over = `${changes.toLocaleString('en')} changes`;
  return [
    { name: `dispatcher.follow, ${over}`, unit: '/s', runs: followed, target: { atLeast: 60_000 } },
    { name: `readEntries alone, pages of 2,000`, unit: '/s', runs: read },
  ];
}

/** Each statement draws a tid of its own; a commit after every 500 keeps the filling short. */
async function fill(url: string, changes: number): Promise<void> {
  const share = changes / WRITERS;
  await Promise.all(
    Array.from({ length: WRITERS }, async (_, writer) => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(`
        DO $$ BEGIN
          FOR n IN 1..${share} LOOP
            UPDATE bench_task SET title = 'task ' || n, state = 'state ' || n, points = n
              WHERE id = 1 + ${writer} + (n * ${WRITERS}) % ${TASKS};
            IF n % 500 = 0 THEN COMMIT; END IF;
          END LOOP;
        END $$`);
      await client.end();
    }),
  );
}

async function follow(kernel: Kernel, changes: number): Promise<number> {
  const stop = new AbortController();
  let fields = 0;
  let seen = 0;
  for await (const entries of kernel.dispatcher.follow({ after: { tid: 0 }, signal: stop.signal })) {
    for (const { values } of entries) fields += Object.keys(values).length;
    seen += entries.length;
    if (seen >= changes + TASKS) break;
  }
  stop.abort();
  if (fields < 3 * changes) throw new Error(`${fields} fields in ${seen} changes: fewer than were written`);
  return seen;
}

async function readPages(kernel: Kernel): Promise<number> {
  let seen = 0;
  for (let after = { tid: 0, resource: '', id: '' }; ; ) {
    const entries = await readEntries(kernel.database, { after, limit: 2000 });
    const last = entries.at(-1);
    if (last === undefined) return seen;
    seen += entries.length;
    after = { tid: last.tid, resource: last.resource, id: last.id };
  }
}

async function rate(run: () => Promise<number>): Promise<number> {
  const started = performance.now();
  return (await run()) / ((performance.now() - started) / 1000);
}
