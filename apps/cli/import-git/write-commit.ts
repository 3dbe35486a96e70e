import type { ModelTransaction } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import { type WikiRow, wiki } from '#libs/resources';
import { type BlobReader, PIECE_BYTES } from './blob-reader.ts';
import { type Contents, loadContents } from './contents.ts';
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
  const tx = kernel.begin().prepare({
    author: commit.author,
    comment: commit.subject,
    time: commit.time,
    meta: { commit: commit.hash, author_time: commit.authorTime, effects: false },
  });
  try {
    const writer = new PageWriter(kernel, tx);
    for (const change of changes) await writer.add(change, blobs);
    await writer.handOver();
    const { root, path, position } = place;
    tx.stage(kernel.db.insertInto('tidemark.imports').values({ root, path, position, commit: commit.hash }));
    const { tid } = await tx.commit();
    return { ...writer.counts, skipped: writer.skipped, tid };
  } catch (error) {
    await tx.rollback();
    throw error;
  }
}

interface Loaded {
  readonly change: PageChange;
  readonly contents: Contents | undefined;
}

/** Contents and changes that wait in memory; what is beyond is flushed in a statement of its own. */
const WAITING_BYTES = PIECE_BYTES;
const WAITING_CHANGES = 100;

/** Hands the changes of one commit to its transaction, some at a time. */
class PageWriter {
  readonly counts = { created: 0, modified: 0, renamed: 0, deleted: 0 };
  readonly skipped: Skipped[] = [];
  readonly #kernel: Kernel<ImportTables>;
  readonly #tx: ModelTransaction<ImportTables>;
  #waiting: Loaded[] = [];
  #bytes = 0;

  constructor(kernel: Kernel<ImportTables>, tx: ModelTransaction<ImportTables>) {
    this.#kernel = kernel;
    this.#tx = tx;
  }

  async add(change: PageChange, blobs: BlobReader): Promise<void> {
    const blob = change.kind === 'delete' ? undefined : await blobs.next();
    const size = blob?.bytes?.length ?? 0;
    const full = this.#waiting.length >= WAITING_CHANGES || this.#bytes + size > WAITING_BYTES;
    if (this.#waiting.length > 0 && (full || blob?.pieces !== undefined)) await this.#flush();
    const contents = blob && (await loadContents(blob, () => this.#tx.read));
    if (blob !== undefined && contents === undefined) {
      this.skipped.push({ path: change.name, reason: `it has ${blob.size} bytes, more than an import takes` });
    }
    this.#waiting.push({ change, contents });
    this.#bytes += size;
    if (contents?.large) await this.#flush();
  }

  /** Within a commit no name is both given up and taken, so ids may be looked up beside its transaction. */
  async handOver(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const names = this.#waiting.flatMap(({ change }) =>
      change.kind === 'rename' ? [change.from, change.name] : [change.name],
    );
    const ids = await findPageIds(this.#kernel.database, names);
    for (const { change, contents } of this.#waiting) this.#change(ids, change, contents);
    this.#waiting = [];
    this.#bytes = 0;
  }

  async #flush(): Promise<void> {
    await this.handOver();
    await this.#tx.flush();
  }

  /** The repository wins over other hands: a page that is missing is created, one that is in the way written over. */
  #change(ids: ReadonlyMap<string, string>, change: PageChange, contents: Contents | undefined): void {
    const { name } = change;
    const id = ids.get(name);
    const from = change.kind === 'rename' ? ids.get(change.from) : undefined;
    if (from !== undefined && id === undefined && contents !== undefined) {
      this.#save(from, contents, name);
      this.counts.renamed++;
      return;
    }
    for (const gone of [from, contents === undefined ? id : undefined]) {
      if (gone === undefined) continue;
      this.#tx.delete(wiki, gone);
      this.counts.deleted++;
    }
    if (contents === undefined) return;
    if (id === undefined) this.#create(name, contents);
    else this.#save(id, contents);
    this.counts[id === undefined ? 'created' : 'modified']++;
  }

  #create(name: string, { large, text, bytes }: Contents): void {
    const values = { name, text, bytes } as Partial<WikiRow>;
    if (large) this.#tx.stage(this.#kernel.db.insertInto('wiki').values(values as WikiRow));
    else this.#tx.create(wiki, values);
  }

  #save(id: string, { large, text, bytes }: Contents, name?: string): void {
    const values = { text, bytes, ...(name === undefined ? {} : { name }) } as Partial<WikiRow>;
    if (large) this.#tx.stage(this.#kernel.db.updateTable('wiki').set(values).where('id', '=', id));
    else this.#tx.save(wiki, id, values);
  }
}
