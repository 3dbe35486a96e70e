/** What the page InterMapTxt says of one prefix. */
export interface InterWiki {
  /** As the page writes it. */
  readonly prefix: string;
  readonly url: string;
  readonly title: string;
}

/** By prefix in lower case. */
export type InterMap = ReadonlyMap<string, InterWiki>;

export const INTER_MAP_PAGE = 'InterMapTxt';
const MAX_LINE = 4_000;
const MAX_URL = 8_000;
const SAFE_SCHEMES = new Set(
  'cvs file ftp git http https irc ircs news nntp sftp smb ssh svn svn+ssh mailto'.split(' '),
);

/**
 * Reads the lines between the first that begins with four dashes and the next such one: from column one a prefix, blanks, a URL, and perhaps
 * blanks and `# title`. Everything else is ignored; of two lines with one prefix the later counts.
 */
export function parseInterMap(text: string): InterMap {
  const map = new Map<string, InterWiki>();
  const lines = text.split('\n');
  const first = lines.findIndex((line) => line.startsWith('----'));
  for (const line of first < 0 ? [] : lines.slice(first + 1)) {
    if (line.startsWith('----')) break;
    const entry = line.length > MAX_LINE ? undefined : parseLine(line);
    if (entry) map.set(entry.prefix.toLowerCase(), entry);
  }
  return map;
}

function parseLine(line: string): InterWiki | undefined {
  const [found, prefix, url] = /^([a-zA-Z][-a-zA-Z0-9+._]*)[ \t]+(\S+)/.exec(line) ?? [];
  if (found === undefined || prefix === undefined || url === undefined) return undefined;
  const rest = line.slice(found.length).trim();
  if (rest !== '' && !rest.startsWith('#')) return undefined;
  return { prefix, url, title: rest.slice(1).trim() || prefix };
}

/**
 * The address of `prefix:target`: $1 to $9 take the parts of the target between colons, without any the target is appended; queries are
 * joined, and the target's fragment goes before that of the map. Null when it would not be safe to follow, or longer than 8,000 characters.
 */
export function interWikiUrl({ url }: InterWiki, target: string): string | null {
  if (target.length > MAX_URL) return null;
  const wanted = splitUrl(target);
  const numbers = [...url.matchAll(/\$([1-9])/g)].map(([, digit]) => Number(digit));
  const parts = splitParts(wanted.path, Math.max(1, ...numbers));
  if (url.length + numbers.reduce((sum, n) => sum + (parts[n - 1] ?? '').length, 0) > MAX_URL) return null;
  const expanded = numbers.length === 0 ? url + wanted.path : url.replace(/\$([1-9])/g, (_, n) => parts[n - 1] ?? '');
  const found = splitUrl(expanded);
  const query = found.query && wanted.query ? `${found.query}&${wanted.query.slice(1)}` : found.query || wanted.query;
  const address = escapeUrl(found.path + query + (wanted.fragment || found.fragment));
  return isSafe(address) && address.length <= MAX_URL ? address : null;
}

/** In `count` parts: the last keeps its colons. */
function splitParts(text: string, count: number): string[] {
  const parts = text.split(':');
  return [...parts.slice(0, count - 1), parts.slice(count - 1).join(':')];
}

/** The parts of a link's target; query and fragment begin with their mark, or are empty. */
export function splitUrl(target: string): { path: string; query: string; fragment: string } {
  const hash = target.indexOf('#');
  const before = hash < 0 ? target : target.slice(0, hash);
  const mark = before.indexOf('?');
  return {
    path: mark < 0 ? before : before.slice(0, mark),
    query: mark < 0 ? '' : before.slice(mark),
    fragment: hash < 0 ? '' : target.slice(hash),
  };
}

/** Percent-encodes what no URL may hold, and leaves alone what is encoded already. */
export function escapeUrl(url: string): string {
  return url.toWellFormed().replace(/[^\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a~]/gu, encodeURIComponent);
}

function isSafe(url: string): boolean {
  const colon = url.indexOf(':');
  return colon < 0 || SAFE_SCHEMES.has(url.slice(0, colon).toLowerCase());
}
