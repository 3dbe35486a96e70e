import { setTimeout as delay } from 'node:timers/promises';
import {
  type ConnectionSource,
  type DatabaseError,
  KernelError,
  type ListenClient,
  runInTransaction,
} from '#libs/database';
import { frontier, parseExact } from '#libs/journal';
import { advance, type Prepared, prepare } from './advance.ts';
import { waitingKeys } from './compare.ts';
import { type Difference, differencesOf } from './difference.ts';
import type { KeyedStatements } from './keyed-statements.ts';
import { holdCheckpoint, storedProjection } from './projection.queries.ts';
import { isInline, type Projection, tablesOf } from './projection.ts';
import {
  beginRebuild,
  differingRows,
  dropRebuild,
  finishRebuild,
  holdWriters,
  lockRebuild,
  moveRebuild,
  type RebuildRow,
  readRebuild,
} from './rebuild.queries.ts';
import { quoteTable, rebuildName, shapeOf } from './shape.ts';

const SCAN = 2_000;
/** lock_not_available: somebody reads the old tables for long. */
const TABLE_IS_READ = '55P03';
const SWAPS = 60;
const PAUSE = 250;

export type RebuildSource = ConnectionSource & { listenClient(): Promise<ListenClient> };

/** What a rebuild is at, for people. */
export interface RebuildProgress {
  readonly phase: 'source rows' | 'changes';
  /** Keys computed, or the tid reached. */
  readonly done: number;
  /** The tid to reach, where that is known. */
  readonly of: number | null;
}

export interface RebuildOptions {
  readonly progress?: (progress: RebuildProgress) => void;
  /** Begins anew, also where one that was interrupted could be gone on with. */
  readonly anew?: boolean;
  readonly signal?: AbortSignal;
}

export interface Rebuilt {
  /** The tid that the tables reflect. */
  readonly tid: number;
  /** Whether one that was interrupted was gone on with. */
  readonly resumed: boolean;
}

/**
 * Makes a projection anew beside its live tables, while they are read and followed: a keyed one from the source rows, a fold from the
 * journal; then from the changes since, until it has come as far as the live one; and swaps the tables in one transaction. Effects
 * cannot start: no listener is told of anything. How far it has come is in the database, so one that was killed is gone on with. Throws
 * `conflict` when the stored rows are of a newer version, the projection is being rebuilt already, when a view, foreign key or trigger would be lost with its tables, and when these are read
 * for longer than half a minute at the end.
 */
export async function rebuild(
  database: RebuildSource,
  projection: Projection,
  options: RebuildOptions = {},
): Promise<Rebuilt> {
  return alone(database, projection, async () => {
    const { prepared, resumed } = await begin(database, projection, options);
    const catching = new CatchUp(database, prepared, options);
    await catching.scan();
    await catching.follow(async () => (await frontier(database)).safe);
    for (let swaps = 1; ; swaps++) {
      try {
        return { tid: await swap(database, prepared), resumed };
      } catch (error) {
        if ((error as DatabaseError).code !== TABLE_IS_READ) throw error;
        if (swaps === SWAPS || options.signal?.aborted) {
          const message = `the tables of ${projection.name} are being read without a pause: its rebuild is ready, repeat it to swap them`;
          throw new KernelError('conflict', message, { cause: error });
        }
        // who waits behind the lock is let in
        await delay(PAUSE);
      }
    }
  });
}

/**
 * The rows in which a projection differs from what the journal makes of it, at its checkpoint: the first 1,000 differences. It makes the
 * tables of a rebuild, compares, and drops them; the live one waits only while the two are compared. One of a key that was changed since is
 * `stale`: either may reflect that change already.
 */
export async function compareRebuilt(
  database: RebuildSource,
  projection: Projection,
  options: RebuildOptions = {},
): Promise<{ differences: Difference[]; tid: number }> {
  return alone(database, projection, async () => {
    try {
      const { prepared } = await begin(database, projection, { ...options, anew: true });
      const catching = new CatchUp(database, prepared, options);
      await catching.scan();
      await catching.follow(async () => (await storedProjection(database, projection.name))?.tid ?? 0);
      return await runInTransaction(database, async (tx) => {
        const tid = await holdCheckpoint(tx, projection.name);
        await catchUpWithin(tx, prepared, tid);
        return { tid, differences: await differences(tx, prepared, tid) };
      });
    } finally {
      await dropRebuild(database, projection.name);
    }
  });
}

async function alone<T>(database: RebuildSource, { name }: Projection, work: () => Promise<T>): Promise<T> {
  const client = await database.listenClient();
  try {
    const connection = {
      query: async (text: string, values: readonly unknown[] = []) => {
        const { rows, rowCount } = await client.query(text, [...values]);
        return { rows, rowCount: rowCount ?? 0, notices: [] };
      },
    };
    if (!(await lockRebuild(connection as never, name))) {
      throw new KernelError('conflict', `the projection ${name} is being rebuilt already`);
    }
    return await work();
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function begin(
  database: RebuildSource,
  projection: Projection,
  { anew = false }: RebuildOptions,
): Promise<{ prepared: Prepared; resumed: boolean }> {
  const { name, version, kind } = projection;
  const stored = await storedProjection(database, name);
  if (!stored) throw new KernelError('not_found', `no projection is called ${name}`);
  if (stored.version > version) {
    const message = `the rows of ${name} were made by version ${stored.version} of its definition, and this program has version ${version}`;
    throw new KernelError('conflict', message);
  }
  // Before the source rows are read: what is changed from here on is applied afterwards.
  const { safe } = await frontier(database);
  const from = kind === 'keyed' ? safe : 0;
  await beginRebuild(database, name, { version, tid: from, done: kind === 'fold', anew });
  const row = await readRebuild(database, name);
  const resumed = row.scanned !== null || row.tid !== from;
  return { prepared: await prepare(database, projection), resumed };
}

class CatchUp {
  readonly #database: RebuildSource;
  readonly #prepared: Prepared;
  readonly #options: RebuildOptions;
  readonly #name: string;

  constructor(database: RebuildSource, prepared: Prepared, options: RebuildOptions) {
    this.#database = database;
    this.#prepared = prepared;
    this.#options = options;
    this.#name = prepared.projection.name;
  }

  /** Reads the source rows, key by key, a page in each transaction. */
  async scan(): Promise<void> {
    let row = await readRebuild(this.#database, this.#name);
    for (let done = 0; !row.done; ) {
      this.#options.signal?.throwIfAborted();
      const { scanned, keys } = await this.#scanPage(row);
      row = scanned;
      done += keys;
      this.#options.progress?.({ phase: 'source rows', done, of: null });
    }
  }

  /**
   * Applies changes until a page has held all that there were before it. Those of meanwhile are for the swap: they never end where somebody
   * writes without a pause.
   */
  async follow(target: () => Promise<number>): Promise<void> {
    let row = await readRebuild(this.#database, this.#name);
    for (let of = Number.POSITIVE_INFINITY; row.tid < of; ) {
      this.#options.signal?.throwIfAborted();
      const upto = await target();
      if (row.tid < upto) row = await this.#followPage(row, upto);
      this.#options.progress?.({ phase: 'changes', done: row.tid, of: upto });
      of = upto;
    }
  }

  async #followPage(row: RebuildRow, upto: number): Promise<RebuildRow> {
    return runInTransaction(this.#database, async (tx) => {
      const tid = await advance(tx, this.#prepared, { from: row.tid, upto, into: 'rebuild' });
      await moveRebuild(tx, this.#name, row, { ...row, tid });
      return { ...row, tid };
    });
  }

  async #scanPage(row: RebuildRow): Promise<{ scanned: RebuildRow; keys: number }> {
    const { scan } = this.#prepared.statements as KeyedStatements;
    return runInTransaction(this.#database, async (tx) => {
      const { rows } = await tx.query<{ keys: number; last: string[] | null }>(scan, [row.scanned, SCAN]);
      const { keys, last } = rows[0] as { keys: number; last: string[] | null };
      const scanned = { ...row, scanned: last ?? row.scanned, done: keys < SCAN };
      await moveRebuild(tx, this.#name, row, scanned);
      return { scanned, keys };
    });
  }
}

/** The last changes and the swap, while nobody moves the live checkpoint. */
async function swap(database: RebuildSource, prepared: Prepared): Promise<number> {
  const { name } = prepared.projection;
  return runInTransaction(database, async (tx) => {
    const live = await holdCheckpoint(tx, name);
    const { safe } = await frontier(tx);
    const tid = await catchUpWithin(tx, prepared, Math.max(live, safe));
    if (isInline(prepared.projection)) await catchUpInline(tx, prepared, { from: tid });
    await finishRebuild(tx, name);
    return tid;
  });
}

async function catchUpWithin(tx: Parameters<typeof advance>[0], prepared: Prepared, upto: number): Promise<number> {
  const { name } = prepared.projection;
  const row = await readRebuild(tx, name);
  const tid = await advanceAll(tx, prepared, { from: row.tid, upto });
  await moveRebuild(tx, name, row, { ...row, tid });
  return tid;
}

async function advanceAll(
  tx: Parameters<typeof advance>[0],
  prepared: Prepared,
  { from, upto }: { from: number; upto: number },
): Promise<number> {
  let tid = from;
  while (tid < upto) tid = await advance(tx, prepared, { from: tid, upto, into: 'rebuild' });
  return tid;
}

/**
 * What inline writers have committed is in the live table, be it safe or not, so it must be in the new one, too. Those of from here on wait
 * for the swap. The checkpoint stays at what is safe: the rest is computed once more.
 */
async function catchUpInline(
  tx: Parameters<typeof advance>[0],
  prepared: Prepared,
  { from }: { from: number },
): Promise<void> {
  await holdWriters(tx, tablesOf(prepared.projection).map(quoteTable));
  const { head } = await frontier(tx);
  await advanceAll(tx, prepared, { from, upto: head });
}

async function differences(
  tx: Parameters<typeof shapeOf>[0],
  { projection, statements }: Prepared,
  tid: number,
): Promise<Difference[]> {
  const all: Difference[] = [];
  for (const table of tablesOf(projection)) {
    const { key, quoted } = await shapeOf(tx, table);
    const rows = await differingRows(tx, {
      ...{ live: quoted, rebuilt: quoteTable(rebuildName(table)), limit: 1_000 },
      key: key.map((column) => column.quoted),
    });
    // asked for after the rows were read: whatever these show is in the journal by now
    const waiting =
      projection.kind === 'keyed' && rows.length > 0
        ? await waitingKeys(tx, projection, statements as KeyedStatements, tid)
        : new Set<string>();
    for (const { id: text, expected, actual, copy } of rows) {
      const id = parseExact(text) as unknown[];
      const stale = projection.kind === 'keyed' && waiting.has(JSON.stringify(id.slice(0, projection.key.length)));
      const values = { expected: expected && parseExact(expected), actual: actual && parseExact(actual), copy };
      const about = { projection: projection.name, table, id, stale };
      all.push(...differencesOf(about, values as Parameters<typeof differencesOf>[1]));
    }
  }
  return all;
}
