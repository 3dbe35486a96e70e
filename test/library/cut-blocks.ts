import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '../support/repository-root.ts';

/**
 * A page whose code blocks are cut from files that tests run: `<!-- cut: path -->` before a block means the whole file, and
 * `<!-- cut: path | first | last -->` the lines from the first that begins so to the next one that is `last`, indented alike.
 */
const BLOCK = /^<!-- cut: ([^|\n]+?)(?: \| ([^|\n]+) \| ([^|\n]+))? -->\n```(\w+)\n[\s\S]*?^```$/gm;

/** The page with its blocks as the files have them now. */
export function withCurrentBlocks(page: string, root: string = repositoryRoot()): string {
  return page.replaceAll(BLOCK, (block, path: string, first: string | undefined, last: string, language: string) => {
    const [marker] = block.split('\n');
    const text = readFileSync(join(root, path), 'utf8').trimEnd();
    return `${marker}\n\`\`\`${language}\n${first === undefined ? text : part(text, first, last, path)}\n\`\`\``;
  });
}

/** The blocks of a page that are not cut from any file. */
export function looseBlocks(page: string): string[] {
  return page.replaceAll(BLOCK, '').match(/^```(?:ts|sql|json)$[\s\S]*?^```$/gm) ?? [];
}

function part(text: string, first: string, last: string, path: string): string {
  const lines = text.split('\n');
  const from = lines.findIndex((line) => line.trim().startsWith(first));
  const indent = /^ */.exec(lines[from] ?? '')?.[0] ?? '';
  const to = lines.indexOf(indent + last, from);
  if (from < 0 || to < 0) throw new Error(`${path} has no part from ${first} to ${last}`);
  return lines
    .slice(from, to + 1)
    .map((line) => line.slice(Math.min(indent.length, line.length)))
    .join('\n');
}

if (process.argv[1] === import.meta.filename) {
  for (const page of process.argv.slice(2)) {
    writeFileSync(page, withCurrentBlocks(readFileSync(page, 'utf8')));
  }
}
