import { isUtf8 } from 'node:buffer';
import type { ModelTransaction } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import { type WikiRow, wiki } from '#libs/resources';
import type { Blob, BlobReader } from './blob-reader.ts';
import type { GitCommit } from './git-log.ts';
import { findPageIds, type History, type ImportTables } from './import.queries.ts';
import type { PageChange, Skipped } from './plan.ts';

/** Pages changed by a commit, and the tid it got: null when it changed none. */
export interface Written {
  readonly tid: number | null;
  readonly created: number;
  readonly modified: number;
  readonly renamed: number;
  readonly deleted: number;
  readonly skipped: Skipped[];
}

/** Contents that wait in memory; what is beyond is flushed in a statement of its own. */
const FLUSH_BYTES = 4 * 1024 * 1024;
const FLUSH_CHANGES = 100;

type Counts = { -readonly [K in keyof Written]: Written[K] };
type Loaded = { change: PageChange; blob: Blob | undefined };

/**
 * Writes one commit as one ModelTransaction, with its place in the history. The contents come from `blobs`, where they were requested
 * in the order of the changes. Throws `conflict` when another import has written this commit meanwhile.
 */
export async function writeCommit(
  kernel: Kernel<ImportTables>,
  place: History & { position: number },
  commit: GitCommit,
  changes: readonly PageChange[],
  blobs: BlobReader,
): Promise<Written> {
  const counts: Counts = { tid: null, created: 0, modified: 0, renamed: 0, deleted: 0, skipped: [] };
  const tx = kernel.begin().prepare({
    author: commit.author,
    comment: commit.subject,
    time: commit.time,
    meta: { commit: commit.hash, author_time: commit.authorTime, effects: false },
  });
  try {
    let loaded: Loaded[] = [];
    let bytes = 0;
    for (const change of changes) {
      const blob = change.kind === 'delete' ? undefined : await blobs.next();
      bytes += blob?.bytes?.length ?? 0;
      if (loaded.length > 0 && (bytes > FLUSH_BYTES || loaded.length >= FLUSH_CHANGES)) {
        await addChanges(kernel, tx, loaded, counts);
        await tx.flush();
        loaded = [];
        bytes = blob?.bytes?.length ?? 0;
      }
      loaded.push({ change, blob });
    }
    await addChanges(kernel, tx, loaded, counts);
    const { root, path, position } = place;
    tx.stage(kernel.db.insertInto('tidemark.imports').values({ root, path, position, commit: commit.hash }));
    counts.tid = (await tx.commit()).tid;
    return counts;
  } catch (error) {
    await tx.rollback();
    throw error;
  }
}

/** Within a commit no name is both given up and taken, so ids may be looked up beside its transaction. */
async function addChanges(
  kernel: Kernel<ImportTables>,
  tx: ModelTransaction<ImportTables>,
  loaded: readonly Loaded[],
  counts: Counts,
): Promise<void> {
  if (loaded.length === 0) return;
  const names = loaded.flatMap(({ change }) => (change.kind === 'rename' ? [change.from, change.name] : [change.name]));
  const ids = await findPageIds(kernel.database, names);
  for (const { change, blob } of loaded) {
    if (blob !== undefined && blob.bytes === undefined) {
      counts.skipped.push({
        path: change.name,
        reason: `it has ${blob.size} bytes, which is more than an import takes`,
      });
    }
    addChange(tx, ids, change, blob?.bytes, counts);
  }
}

/** The repository wins over what was done to the pages by other hands: a page that is missing is created, one that is in the way written over. */
function addChange(
  tx: ModelTransaction<ImportTables>,
  ids: ReadonlyMap<string, string>,
  change: PageChange,
  bytes: Buffer | undefined,
  counts: Counts,
): void {
  const id = ids.get(change.name);
  const from = change.kind === 'rename' ? ids.get(change.from) : undefined;
  if (from !== undefined && id === undefined && bytes !== undefined) {
    tx.save(wiki, from, { name: change.name, ...contents(bytes) });
    counts.renamed++;
    return;
  }
  for (const gone of [from, bytes === undefined ? id : undefined]) {
    if (gone === undefined) continue;
    tx.delete(wiki, gone);
    counts.deleted++;
  }
  if (bytes === undefined) return;
  if (id !== undefined) tx.save(wiki, id, contents(bytes));
  else tx.create(wiki, { name: change.name, ...contents(bytes) });
  counts[id === undefined ? 'created' : 'modified']++;
}

/** Text goes as the bytes it is: as a string it would take up to three times the memory on its way. */
function contents(bytes: Buffer): Pick<WikiRow, 'text' | 'bytes'> {
  const isText = isUtf8(bytes) && !bytes.includes(0);
  return isText ? { text: bytes as unknown as string, bytes: null } : { text: null, bytes };
}
