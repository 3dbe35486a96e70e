import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { DOCUMENTS, withFiles } from '../support/docs/pasted-files.ts';
import { shapeOf, withRuns } from '../support/docs/shown-run.ts';
import { withServer } from '../support/docs/write-docs.ts';
import { repositoryRoot } from '../support/repository-root.ts';
import { testDatabase } from '../support/test-database.ts';

const read = (document: string) => readFileSync(join(repositoryRoot(), document), 'utf8');

it.each(DOCUMENTS)('%s holds the files that it shows as they are (npm run docs renews it)', (document) => {
  expect(read(document)).toContain('<!-- file: ');
  expect(withFiles(read(document))).toBe(read(document));
});

it('README.md shows what a server prints, but for times and numbers (npm run docs renews it)', async () => {
  const database = await testDatabase();
  try {
    const readme = read('README.md');
    const now = await withServer(database.url, (server) => withRuns(readme, server));
    expect(now.match(/<!-- run -->/g)?.length).toBe(3);
    expect(shapeOf(now)).toBe(shapeOf(readme));
    expect(now).not.toBe(readme);
  } finally {
    await database.drop();
  }
}, 60_000);
