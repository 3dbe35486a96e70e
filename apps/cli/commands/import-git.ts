import { EXIT } from '../exit-codes.ts';
import { type ImportObserver, type ImportSummary, importGit } from '../import-git/import-git.ts';
import { type ReaderOptions, withImporter } from '../open.ts';
import { print, printJson, say } from '../output.ts';
import type { Context } from '../program.ts';
import { Progress } from '../progress.ts';

interface ImportGitOptions extends ReaderOptions {
  path: string;
  rev: string;
}

/** So many skipped files are named; the rest is counted. */
const NAMED = 20;

/** `tidemark import git <repository>`. */
export async function importGitCommand(
  { interrupted }: Context,
  repository: string,
  options: ImportGitOptions,
): Promise<number | undefined> {
  const { path, rev } = options;
  const began = performance.now();
  const summary = await withImporter(options, (kernel) =>
    importGit(kernel, { repository, path, rev, signal: interrupted, observer: observer() }),
  );
  const seconds = (performance.now() - began) / 1000;
  if (options.json) await printJson({ ...summary, seconds: Number(seconds.toFixed(3)) });
  else await print(sentence(summary, seconds));
  return summary.interrupted ? EXIT.interrupted : EXIT.done;
}

function observer(): ImportObserver {
  let progress: Progress | undefined;
  let skips = 0;
  return {
    started(total, after) {
      say(`${total} commits to import${after === undefined ? '' : `, after ${after}`}`);
      progress = new Progress(process.stderr, 'commits', total);
    },
    committed(done) {
      progress?.update(done);
    },
    skipped(commit, { path, reason }) {
      if (++skips <= NAMED) progress?.note(`skipped ${JSON.stringify(path)} in ${commit.slice(0, 12)}: ${reason}`);
    },
    ended() {
      progress?.end();
      if (skips > NAMED) say(`skipped ${skips - NAMED} more`);
    },
  };
}

function sentence(summary: ImportSummary, seconds: number): string {
  const { commits, created, modified, renamed, deleted, skipped, tid, commit, interrupted } = summary;
  if (commits === 0 && !interrupted) return `nothing to do: everything up to ${commit} is imported already`;
  const counts = `${created} pages created, ${modified} modified, ${renamed} renamed, ${deleted} deleted, ${skipped} files skipped`;
  const rate = `${seconds.toFixed(1)} s, ${Math.round(commits / seconds)} commits a second`;
  const end = interrupted ? `\ninterrupted after ${commit}: run it again to go on` : '';
  return `${commits} commits imported: ${counts} (${rate})${tid === null ? '' : `; the last tid is ${tid}`}${end}`;
}
