import { isUtf8 } from 'node:buffer';
import { ByteSource } from './byte-source.ts';
import { startGit } from './git.ts';

/** A path as git has it: any bytes but NUL. */
export interface GitPath {
  readonly text: string;
  /** False when the bytes are not UTF-8; `text` is then for showing only. */
  readonly utf8: boolean;
}

/** One line of a commit's raw difference from its first parent. */
export interface GitEntry {
  /** A, M, D, T (another kind of file) or R. */
  readonly status: string;
  /** Octal; 000000 where there is no file on that side. */
  readonly oldMode: string;
  readonly newMode: string;
  readonly oldBlob: string;
  readonly newBlob: string;
  readonly oldPath: GitPath;
  /** Differs from the old path for a rename only. */
  readonly newPath: GitPath;
}

export interface GitCommit {
  readonly hash: string;
  readonly author: string;
  /** RFC 3339 with the author's offset; null when git cannot make sense of it. */
  readonly authorTime: string | null;
  readonly time: Date;
  readonly subject: string;
  readonly entries: GitEntry[];
}

export interface LogRange {
  readonly tip: string;
  /** The commit after which to begin; from the root when absent. */
  readonly after?: string | undefined;
  /** A folder (or file); the whole tree when empty. */
  readonly path: string;
}

/** The first-parent history, oldest first, each commit with its difference from its first parent. Read while git works. */
export async function* readLog(repository: string, range: LogRange): AsyncGenerator<GitCommit> {
  const git = startGit(repository, [...SETTINGS, 'log', ...OPTIONS, ...rangeArguments(range)]);
  git.stdin.end();
  try {
    yield* parseLog(new ByteSource(git.stdout));
    await git.ended;
  } finally {
    git.stop();
  }
}

/** What `git rev-list` and `git log` take to name the commits of a range. */
export function rangeArguments({ tip, after, path }: LogRange): string[] {
  return ['--first-parent', after === undefined ? tip : `${after}..${tip}`, '--', ...(path === '' ? [] : [path])];
}

// Whatever the user's own configuration says, the output is what is parsed below.
const SETTINGS = [
  '-c',
  'log.showRoot=true',
  '-c',
  'log.showSignature=false',
  '-c',
  'log.mailmap=false',
  '-c',
  'log.follow=false',
];
const FIELDS = ['%H', '%an', '%ae', '%aI', '%ct', '%s'];
const OPTIONS = [
  '--reverse',
  '--diff-merges=first-parent',
  '--raw',
  '-z',
  '--no-abbrev',
  '-M90%',
  '-l2000',
  '-O/dev/null',
  '--no-relative',
  '--no-ext-diff',
  '--no-color',
  '--no-notes',
  '--ignore-submodules=none',
  '--encoding=UTF-8',
  `--format=tformat:${FIELDS.join('%x00')}`,
];

async function* parseLog(source: ByteSource): AsyncGenerator<GitCommit> {
  let token = await source.until(0);
  while (token !== undefined && token.length > 0) {
    const fields = [text(token)];
    while (fields.length < FIELDS.length) fields.push(text((await source.until(0)) ?? Buffer.alloc(0)));
    const entries: GitEntry[] = [];
    token = await source.until(0);
    while (token !== undefined && isEntry(token)) {
      entries.push(await parseEntry(token, source));
      token = await source.until(0);
    }
    yield commitOf(fields, entries);
  }
}

/** `:100644 100644 <blob> <blob> M`, the first of a commit after a newline. A commit begins with its hash instead. */
function isEntry(token: Buffer): boolean {
  return token[0] === COLON || (token[0] === NEWLINE && token[1] === COLON);
}

const COLON = 58;
const NEWLINE = 10;

async function parseEntry(token: Buffer, source: ByteSource): Promise<GitEntry> {
  const [oldMode = '', newMode = '', oldBlob = '', newBlob = '', status = ''] = text(token)
    .replace(/^\n?:/, '')
    .split(' ');
  const oldPath = pathOf(await source.until(0));
  const renamed = status.startsWith('R') || status.startsWith('C');
  const newPath = renamed ? pathOf(await source.until(0)) : oldPath;
  return { status: status.charAt(0), oldMode, newMode, oldBlob, newBlob, oldPath, newPath };
}

function commitOf(fields: readonly string[], entries: GitEntry[]): GitCommit {
  const [hash = '', name = '', mail = '', authorTime = '', seconds = '', subject = ''] = fields;
  return {
    hash,
    author: name || mail || 'unknown',
    authorTime: Number.isNaN(Date.parse(authorTime)) ? null : authorTime,
    time: timeOf(seconds),
    subject,
    entries,
  };
}

/** Forged commits hold times that no calendar has: they count as the beginning of git's time. */
function timeOf(seconds: string): Date {
  const time = new Date(Number(seconds) * 1000);
  return Number.isNaN(time.getTime()) || Math.abs(time.getUTCFullYear()) > 9999 ? new Date(0) : time;
}

/** Old commits do not name their encoding: what is not UTF-8 is read as Latin-1. */
function text(bytes: Buffer): string {
  return bytes.toString(isUtf8(bytes) ? 'utf8' : 'latin1');
}

function pathOf(bytes: Buffer = Buffer.alloc(0)): GitPath {
  return { text: text(bytes), utf8: isUtf8(bytes) };
}
