import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { repositoryRoot } from '../support/repository-root.ts';
import { looseBlocks, withCurrentBlocks } from './cut-blocks.ts';

const page = readFileSync(join(repositoryRoot(), 'docs/adding-a-resource.md'), 'utf8');

describe('docs/adding-a-resource.md', () => {
  it('shows the files of the shop as they are: else run node dist/test/library/cut-blocks.js docs/adding-a-resource.md', () => {
    expect(page).toBe(withCurrentBlocks(page));
  });

  it('has no code that no test runs', () => {
    expect(looseBlocks(page)).toEqual([]);
    expect(page.match(/^```(ts|sql|json)$/gm)?.length).toBeGreaterThan(5);
  });

  it('would be found out if it differed', () => {
    const stale = page.replace('journal_table', 'journal_tabel');
    expect(stale).not.toBe(page);
    expect(withCurrentBlocks(stale)).toBe(page);
  });
});
