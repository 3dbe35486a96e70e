import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import type { EffectListener, ListenerSource } from '#libs/effects';
import { createKernel, type Kernel } from '#libs/kernel';
import { resources } from '#libs/resources';
import { RecordedLog } from '../dispatch/harness.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

const PATIENCE = 30_000;

let test: TestDatabase;
let app: Database;
let kernel: Kernel;
let told: string[];
let source: Source;
let pages: number;

interface Source extends ListenerSource {
  position: number;
  listeners: EffectListener[];
  placed: number;
}

const recorder = (name: string, more: Partial<EffectListener> = {}): EffectListener => ({
  ...{ name, resources: ['wiki'], ...more },
  onPrimary: (entry) => void told.push(`${name} ${entry.values['name'] ?? entry.change}`),
});

// A listener that stays, and a source that knows everything until a test says otherwise.
beforeEach(async () => {
  test = await testDatabase();
  app = Database.open({ url: test.url });
  told = [];
  pages = 0;
  source = {
    ...{ position: Number.MAX_SAFE_INTEGER, listeners: [], placed: 0 },
    place: async () => {
      source.placed += 1;
    },
  };
  kernel = createKernel({ database: app, resources, log: new RecordedLog() });
  kernel.listen(recorder('stays'));
  kernel.effects.follow(source);
  await kernel.start();
});
afterEach(async () => {
  await kernel.stop();
  await app.close();
  await test.drop();
});

/** A page that no process has made, and its tid. */
async function page(): Promise<number> {
  pages += 1;
  await app.query(`INSERT INTO wiki (name, text) VALUES ($1, 'text')`, [`Page${pages}`]);
  const { rows } = await app.query<{ tid: string }>('SELECT max(tid)::text AS tid FROM wiki_journal');
  return Number(rows[0]?.tid);
}

async function placeOf(listener: string, tid: number): Promise<void> {
  await app.query('INSERT INTO tidemark.listener_positions (listener, tid) VALUES ($1, $2)', [listener, tid]);
}

async function looked(tid: number): Promise<void> {
  await kernel.dispatcher.waitFor(tid, { timeout: PATIENCE });
  await kernel.effects.lookOnce();
}

const until = (...lines: string[]) =>
  waitUntil(() => lines.every((line) => told.includes(line)), `${lines} are told`, PATIENCE);

it('a listener that comes begins at its position, and one that goes is called no more', async () => {
  const before = await page();
  await until('stays Page1');
  await placeOf('comes', before);
  source.listeners = [recorder('comes')];
  await page();
  await until('comes Page2', 'stays Page2');
  expect(kernel.effects.names).toEqual(['stays', 'comes']);
  source.listeners = [];
  await looked(await page());
  await until('stays Page3');
  expect(kernel.effects.names).toEqual(['stays']);
  expect(told.filter((line) => line.startsWith('comes'))).toEqual(['comes Page2']);
  expect(source.placed).toBe(1);
});

it('nothing is passed over that its source does not know yet', async () => {
  const listener = { ...recorder('widened'), resources: ['ticket'] };
  source.listeners = [listener];
  const start = await page();
  await placeOf('widened', start);
  await until('stays Page1');
  source.position = start;
  // made after the filter was widened, of which the source has not heard
  await looked(await page());
  await looked(await page());
  const { rows } = await app.query<{ tid: string }>(
    'SELECT DISTINCT tid::text AS tid FROM tidemark.listener_positions',
  );
  expect(rows).toEqual([{ tid: String(start) }]);
  listener.resources = ['wiki'];
  source.position = Number.MAX_SAFE_INTEGER;
  await until('widened Page2', 'widened Page3', 'stays Page3');
});

it('while a source knows nothing the listeners that stay go on', async () => {
  await placeOf('comes', 0);
  source.listeners = [recorder('comes')];
  source.position = -1;
  await page();
  await until('stays Page1');
  expect(kernel.effects.names).toEqual(['stays']);
  source.position = Number.MAX_SAFE_INTEGER;
  await until('comes Page1');
});

it('there is one source at most, from before the start', async () => {
  const other = createKernel({ database: app, resources, log: new RecordedLog() });
  other.effects.follow(source);
  expect(() => other.effects.follow(source)).toThrow(/follows another source already/);
  expect(() => kernel.effects.follow(source)).toThrow(/is started already/);
});
