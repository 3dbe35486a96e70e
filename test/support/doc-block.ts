import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from './repository-root.ts';

/** The fenced blocks of a language in a document, in their order. */
export function docBlocks(document: string, language: string): string[] {
  const text = readFileSync(join(repositoryRoot(), document), 'utf8');
  const fence = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms');
  return [...text.matchAll(fence)].map((match) => match[1] as string);
}
