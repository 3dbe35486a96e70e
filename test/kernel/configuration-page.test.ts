import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { settings } from '../../libs/kernel/settings.ts';
import { repositoryRoot } from '../support/repository-root.ts';

it('docs/configuration.md has a row for each setting, as the program knows it', () => {
  const rows = Object.values(settings).map(
    ({ variable, fallback, sentence }) => `| \`${variable}\` | ${fallback ? `\`${fallback}\`` : ''} | ${sentence} |`,
  );
  const page = readFileSync(join(repositoryRoot(), 'docs/configuration.md'), 'utf8');
  expect(page.split('\n').filter((line) => line.startsWith('| `'))).toEqual(rows);
});
