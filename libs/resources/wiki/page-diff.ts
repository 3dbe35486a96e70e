import { KernelError, type Queryable } from '#libs/database';
import { unifiedDiff } from './unified-diff.ts';
import { findPageVersion, getPage } from './wiki.queries.ts';
import type { Page } from './wiki.ts';

/** Two versions of a page and the unified diff between their texts, empty when they do not differ. */
export interface PageDiff {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly diff: string;
}

/**
 * What has changed from one version of a page's text to another: by default the last change. Version 0 is the empty text. Throws `not_found` for
 * a version that there is not, `invalid` for contents that are no text and for texts that differ in more than can be worked out in two seconds.
 */
export async function getPageDiff(
  db: Queryable,
  name: string,
  wanted: { from?: number | undefined; to?: number | undefined },
): Promise<PageDiff> {
  const page = await getPage(db, name);
  const to = wanted.to ?? page.version;
  const from = wanted.from ?? Math.max(to - 1, 0);
  const [before, after] = await Promise.all([from, to].map((version) => textOf(db, page, version)));
  if (before === undefined || after === undefined || before === after) return { name, from, to, diff: '' };
  const names = [from, to].map((version) => `version ${version}`) as [string, string];
  const diff = await unifiedDiff({ name, before, after, versions: names });
  if (diff !== undefined) return { name, from, to, diff };
  throw new KernelError(
    'invalid',
    `versions ${from} and ${to} of page ${JSON.stringify(name)} differ too much for a diff: read them with ?version=`,
  );
}

async function textOf(db: Queryable, page: Page, version: number): Promise<string> {
  if (version === 0) return '';
  const { text } = version === page.version ? page : await findPageVersion(db, page, version);
  if (text !== null) return text;
  const problem = `version ${version} of page ${JSON.stringify(page.name)} is held as bytes, which are no text`;
  throw new KernelError('invalid', `${problem}: there is no diff of it`);
}
