import type { Queryable } from '#libs/database';
import { type InterWiki, interWikiUrl } from './inter-map.ts';
import type { InterMapState } from './inter-map-cache.ts';
import type { PageNames } from './page-names.ts';
import { resolvePage } from './page-reference.ts';
import { getPage, getPageVersion } from './wiki.queries.ts';
import { linksIn, type WikiLink } from './wiki-links.ts';

/** A link of a page, resolved. */
export interface PageLink {
  /** What a reader sees. */
  readonly text: string;
  readonly kind: 'page' | 'interwiki';
  /** The name of the page; `prefix:target` as written. */
  readonly target: string;
  /** Whether the page exists; null for what is not on this server. */
  readonly exists: boolean | null;
  /** Null when there is nothing to follow: a name that no page can bear, a page that is missing and that the reader may not create, an unsafe address. */
  readonly url: string | null;
}

/** A place in the links of one version of a page. */
export interface LinkPlace {
  readonly version: number;
  readonly skip: number;
}

/** Links, and the place after them, undefined at the end. */
export interface PageLinks {
  readonly items: PageLink[];
  readonly next: LinkPlace | undefined;
}

export interface LinkOptions {
  readonly names: PageNames;
  readonly interMap: InterMapState;
  /** Whether the reader may create what is missing. */
  readonly mayCreate: boolean;
  /** Where to go on. */
  readonly from?: LinkPlace | undefined;
  readonly limit: number;
}

/** Links of a page in the order of its text. Throws `not_found` like getPage. */
export async function getPageLinks(db: Queryable, name: string, options: LinkOptions): Promise<PageLinks> {
  const { from, limit } = options;
  const page = from === undefined ? await getPage(db, name) : await getPageVersion(db, name, from.version);
  const map = await options.interMap.get(db);
  const skip = from?.skip ?? 0;
  const items: PageLink[] = [];
  let seen = 0;
  for (const link of linksIn(page.text ?? '')) {
    const entry = map.get(link.prefix.toLowerCase());
    if (!isShown(link, entry) || ++seen <= skip) continue;
    if (items.length === limit) return { items, next: { version: page.version, skip: skip + limit } };
    items.push(entry && link.prefix !== 'wiki' ? interWikiLink(link, entry) : pageLink(link, name, options));
  }
  return { items, next: undefined };
}

/** Other prefixes are those of tickets, addresses and the like. */
function isShown({ prefix, target }: WikiLink, entry: InterWiki | undefined): boolean {
  return prefix === 'wiki' || (entry !== undefined && !target.startsWith('//'));
}

function pageLink({ text, target }: WikiLink, referrer: string, { names, mayCreate }: LinkOptions): PageLink {
  const { name, exists, url } = resolvePage(target, referrer, (other) => names.has(other));
  return { text, kind: 'page', target: name, exists, url: exists || mayCreate ? url : null };
}

function interWikiLink({ text, prefix, target }: WikiLink, entry: InterWiki): PageLink {
  return { text, kind: 'interwiki', target: `${prefix}:${target}`, exists: null, url: interWikiUrl(entry, target) };
}
