import { KernelError, type ListenClient } from '#libs/database';
import type { Kernel } from '#libs/kernel';
import { BlobReader } from './blob-reader.ts';
import { type GitCommit, readLog } from './git-log.ts';
import { findLastImported, type Imported, type ImportTables, tryLockHistory } from './import.queries.ts';
import { type PageChange, planCommit, type Skipped } from './plan.ts';
import { countCommits, goesOnAfter, openRepository, type Source } from './repository.ts';
import { writeCommit } from './write-commit.ts';

export interface ImportOptions {
  readonly repository: string;
  readonly rev: string;
  /** A folder of the repository; the whole tree when empty. */
  readonly path: string;
  /** Ends the import after the commit at hand. */
  readonly signal: AbortSignal;
  readonly observer: ImportObserver;
}

/** Is told what happens during an import. */
export interface ImportObserver {
  started(total: number, after: string | undefined): void;
  committed(done: number): void;
  skipped(commit: string, skipped: Skipped): void;
  ended(): void;
}

export interface ImportSummary {
  commits: number;
  created: number;
  modified: number;
  renamed: number;
  deleted: number;
  /** Files that are no pages, each time they were changed. */
  skipped: number;
  /** The last tid of this import; null when no page was changed. */
  tid: number | null;
  /** The last commit that is imported, by this run or an earlier one. */
  commit: string;
  interrupted: boolean;
}

/** Of larger pages PostgreSQL could not keep the history: a value of jsonb ends at 256 MB, and bytes take twice their size there. */
const LARGEST_PAGE = 100 * 1024 * 1024;
/** git reads on while the database writes: so many contents are asked for ahead. */
const BLOBS_AHEAD = 200;
/** How many commits without pages may pass before the place is noted. */
const QUIET_COMMITS = 1000;
const LOCK_PATIENCE_MS = 5000;

/**
 * Imports the first-parent history of a git repository into the wiki, each commit as one ModelTransaction, from where the last import
 * ended. One import of a history runs at a time. Throws `configuration` for a repository that cannot be read and `conflict` for a
 * history that was rewritten or is being imported already.
 */
export async function importGit(kernel: Kernel<ImportTables>, options: ImportOptions): Promise<ImportSummary> {
  const source = await openRepository(options.repository, options.rev, options.path);
  // the lock lives as long as this session
  const session = await kernel.database.listenClient();
  try {
    await lock(session, source);
    return await importAfter(kernel, source, await lastImported(kernel, source), options);
  } finally {
    await session.end();
  }
}

async function lastImported(kernel: Kernel<ImportTables>, source: Source): Promise<Imported | undefined> {
  const connection = await kernel.database.connect();
  try {
    return await findLastImported(connection, source);
  } finally {
    connection.release();
  }
}

async function importAfter(
  kernel: Kernel<ImportTables>,
  source: Source,
  last: Imported | undefined,
  { signal, observer }: ImportOptions,
): Promise<ImportSummary> {
  const summary = emptySummary(last?.commit ?? source.tip);
  if (last !== undefined && !(await goesOnAfter(source, last.commit))) return summary;
  const total = await countCommits(source, last?.commit);
  if (total === 0 && last === undefined) {
    throw new KernelError('configuration', `no commit of ${source.repository} has changed anything in ${source.path}`);
  }
  observer.started(total, last?.commit);
  const blobs = new BlobReader(source.repository, LARGEST_PAGE);
  let position = last?.position ?? 0;
  let quiet = 0;
  try {
    for await (const { commit, changes, skipped } of readAhead(source, last?.commit, blobs)) {
      if (signal.aborted) break;
      summary.commits++;
      quiet = changes.length > 0 ? 0 : quiet + 1;
      if (changes.length > 0 || quiet === QUIET_COMMITS || summary.commits === total) {
        const written = await writeCommit(kernel, { ...source, position: position + 1 }, commit, changes, blobs);
        position++;
        quiet = 0;
        skipped.push(...written.skipped);
        add(summary, written);
      }
      summary.commit = commit.hash;
      summary.skipped += skipped.length;
      for (const file of skipped) observer.skipped(commit.hash, file);
      observer.committed(summary.commits);
    }
  } finally {
    blobs.close();
    observer.ended();
  }
  return { ...summary, interrupted: summary.commits < total };
}

interface Planned {
  readonly commit: GitCommit;
  readonly changes: PageChange[];
  readonly skipped: Skipped[];
}

/** Plans commits and asks for their contents before they are needed, so that git unpacks them while the database writes. */
async function* readAhead(source: Source, after: string | undefined, blobs: BlobReader): AsyncGenerator<Planned> {
  const waiting: Planned[] = [];
  let requested = 0;
  for await (const commit of readLog(source.repository, { ...source, after })) {
    const plan = planCommit(commit.entries, source.path);
    for (const change of plan.changes) {
      if (change.kind === 'delete') continue;
      blobs.request(change.blob);
      requested++;
    }
    waiting.push({ commit, ...plan });
    while (waiting.length > 1 && (requested > BLOBS_AHEAD || waiting.length > BLOBS_AHEAD)) {
      const next = waiting.shift() as Planned;
      requested -= next.changes.filter((change) => change.kind !== 'delete').length;
      yield next;
    }
  }
  yield* waiting;
}

/** An import that was killed a moment ago may still have its session: its lock is waited for a little. */
async function lock(session: ListenClient, source: Source): Promise<void> {
  const until = Date.now() + LOCK_PATIENCE_MS;
  while (!(await tryLockHistory(session, source))) {
    if (Date.now() > until)
      throw new KernelError('conflict', `${source.repository} is being imported by another process`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function emptySummary(commit: string): ImportSummary {
  return {
    commits: 0,
    created: 0,
    modified: 0,
    renamed: 0,
    deleted: 0,
    skipped: 0,
    tid: null,
    commit,
    interrupted: false,
  };
}

function add(
  summary: ImportSummary,
  written: Omit<ImportSummary, 'commits' | 'commit' | 'skipped' | 'interrupted'>,
): void {
  for (const count of ['created', 'modified', 'renamed', 'deleted'] as const) summary[count] += written[count];
  summary.tid = written.tid ?? summary.tid;
}
