import { escapeUrl, splitUrl } from './inter-map.ts';
import { isPageName } from './wiki.ts';

/** What a link to a page means. */
export interface PageReference {
  readonly name: string;
  readonly exists: boolean;
  /** Where this server shows it; null for what cannot be the name of a page. */
  readonly url: string | null;
}

/**
 * The page that a link's target means on the page `referrer`: `./` and `../` count from that page, a leading slash from the top, and any other
 * name is looked for beside the referrer and then at each level above it; when there is none, it would be beside the referrer.
 * `@3` names a version; query and fragment go into the URL.
 */
export function resolvePage(target: string, referrer: string, exists: (name: string) => boolean): PageReference {
  const { path, query, fragment } = splitUrl(target);
  const at = path.indexOf('@');
  const version = at < 0 ? '' : path.slice(at + 1);
  const wanted = withoutSlashes(at < 0 ? path : path.slice(0, at)) || 'WikiStart';
  const name = nameOf(wanted, referrer.split('/'), exists);
  if (!isPageName(name)) return { name, exists: false, url: null };
  const number = /^\d{1,10}$/.test(version) ? `?version=${version}` : '';
  const rest = escapeUrl((number && query ? `${number}&${query.slice(1)}` : number || query) + fragment);
  return { name, exists: exists(name), url: `/wiki/${encodeURIComponent(name)}${rest}` };
}

function nameOf(wanted: string, referrer: readonly string[], exists: (name: string) => boolean): string {
  if (wanted.startsWith('/')) return withoutLeadingSlashes(wanted);
  if (/^\.\.?(\/|$)/.test(wanted)) return relativeName(wanted, referrer);
  if (referrer.length === 1 || !isPageName(wanted)) return wanted;
  return scopedName(wanted, referrer, exists);
}

/** By hand: over millions of slashes a regular expression may run out of stack. */
export function withoutLeadingSlashes(path: string): string {
  let start = 0;
  while (path[start] === '/') start++;
  return path.slice(start);
}

function withoutSlashes(path: string): string {
  let end = path.length;
  while (path[end - 1] === '/') end--;
  return path.slice(0, end);
}

function relativeName(wanted: string, referrer: readonly string[]): string {
  const steps = wanted.split('/');
  const own = steps.findIndex((step) => step !== '.' && step !== '..');
  const moves = own < 0 ? steps : steps.slice(0, own);
  const up = moves.filter((step) => step === '..').length;
  return [...referrer.slice(0, Math.max(0, referrer.length - up)), ...(own < 0 ? [] : steps.slice(own))].join('/');
}

function scopedName(wanted: string, referrer: readonly string[], exists: (name: string) => boolean): string {
  for (let level = referrer.length - 1; level > 0; level--) {
    const name = `${referrer.slice(0, level).join('/')}/${wanted}`;
    if (exists(name)) return name;
  }
  if (exists(wanted)) return wanted;
  // on First/Second/Third, Second/Other is First/Second/Other
  const slash = wanted.indexOf('/');
  const level = slash < 0 ? -1 : referrer.indexOf(wanted.slice(0, slash));
  const anchor = referrer.slice(0, level + 1).join('/');
  if (level >= 0 && exists(anchor)) return anchor + wanted.slice(slash);
  return `${referrer.slice(0, -1).join('/')}/${wanted}`;
}
