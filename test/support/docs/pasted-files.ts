import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '../repository-root.ts';

/** The documents that hold files of the repository, between `<!-- file: path -->` and `<!-- end -->`. */
export const DOCUMENTS = ['docs/feed-client.md', 'docs/projections.md', 'docs/webhooks.md', 'docs/writing-a-plugin.md'];

/** A document's text with its files as they are now. */
export function withFiles(text: string): string {
  return text.replace(
    /(<!-- file: (\S+) -->\n).*?(<!-- end -->)/gs,
    (_all, opening: string, path: string, closing: string) => {
      const language = path.slice(path.lastIndexOf('.') + 1);
      const content = readFileSync(join(repositoryRoot(), path), 'utf8').trimEnd();
      return `${opening}\`\`\`${language}\n${content}\n\`\`\`\n${closing}`;
    },
  );
}
