import { KernelError } from '#libs/database';
import { checkName } from '#libs/resources';
import type { GitEntry, GitPath } from './git-log.ts';

/** What a commit does to one page. `blob` names its new contents. */
export type PageChange =
  | { readonly kind: 'delete'; readonly name: string }
  | { readonly kind: 'write'; readonly name: string; readonly blob: string }
  | { readonly kind: 'rename'; readonly from: string; readonly name: string; readonly blob: string };

export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

export interface Plan {
  /** In an order in which each name is free when it is taken: deletes come first. */
  readonly changes: PageChange[];
  readonly skipped: Skipped[];
}

/**
 * Turns a commit's difference into changes of pages. A symlink, a submodule and a path that cannot be a page's name are no pages: what
 * becomes one of them is deleted and reported. git pairs only files that vanish with files that appear, so within one commit no
 * name is both given up and taken.
 */
export function planCommit(entries: readonly GitEntry[], folder: string): Plan {
  const changes: PageChange[] = [];
  const skipped: Skipped[] = [];
  for (const entry of entries) {
    const before = pageOf(entry.oldMode, entry.oldPath, folder);
    const after = pageOf(entry.newMode, entry.newPath, folder);
    if (after.reason !== undefined) skipped.push({ path: entry.newPath.text, reason: after.reason });
    const unchanged = before.name === after.name && entry.oldBlob === entry.newBlob;
    if (!unchanged) changes.push(...changesOf(before.name, after.name, entry.newBlob));
  }
  changes.sort((a, b) => Number(b.kind === 'delete') - Number(a.kind === 'delete'));
  return { changes, skipped };
}

function changesOf(before: string | undefined, after: string | undefined, blob: string): PageChange[] {
  if (after === undefined) return before === undefined ? [] : [{ kind: 'delete', name: before }];
  if (before === undefined || before === after) return [{ kind: 'write', name: after, blob }];
  return [{ kind: 'rename', from: before, name: after, blob }];
}

/** The page that one side of an entry is, or why it is none; neither when there is no file on that side. */
function pageOf(mode: string, path: GitPath, folder: string): { name?: string; reason?: string } {
  if (mode === '000000') return {};
  if (mode === '120000') return { reason: 'it is a symbolic link' };
  if (mode === '160000') return { reason: 'it is a submodule' };
  if (!mode.startsWith('100')) return { reason: `its mode is ${mode}` };
  if (!path.utf8) return { reason: 'its name is not UTF-8' };
  const name = below(folder, path.text);
  try {
    checkName(name);
    return { name };
  } catch (error) {
    if (error instanceof KernelError) return { reason: error.message };
    throw error;
  }
}

/** --path may name a single file, too: it is then a page of its own name. */
function below(folder: string, path: string): string {
  if (folder === '') return path;
  return path === folder ? path.slice(path.lastIndexOf('/') + 1) : path.slice(folder.length + 1);
}
