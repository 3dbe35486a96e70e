import type { CacheDefinition } from '#libs/dispatch';

/** The names of all pages that exist, in order: the state of the page-name cache. */
export class PageNames {
  readonly #byId: Map<string, string>;
  // A name may stand twice for a moment, while two pages swap theirs.
  readonly #sorted: string[];

  constructor(pages: Iterable<readonly [id: string, name: string]>) {
    this.#byId = new Map(pages);
    this.#sorted = [...this.#byId.values()].sort(compareNames);
  }

  has(name: string): boolean {
    return this.#sorted[lowerBound(this.#sorted, name)] === name;
  }

  /** At most `limit` names that begin with `prefix` and come after `after`, by code point. */
  list({ prefix = '', after, limit }: { prefix?: string; after?: string; limit: number }): string[] {
    const past = after !== undefined && compareNames(after, prefix) >= 0;
    const names: string[] = [];
    let n = past ? upperBound(this.#sorted, after) : lowerBound(this.#sorted, prefix);
    for (; n < this.#sorted.length && names.length < limit; n++) {
      const name = this.#sorted[n] as string;
      if (!name.startsWith(prefix)) break;
      if (name !== names.at(-1)) names.push(name);
    }
    return names;
  }

  set(id: string, name: string): void {
    if (this.#byId.get(id) === name) return;
    this.delete(id);
    this.#byId.set(id, name);
    this.#sorted.splice(lowerBound(this.#sorted, name), 0, name);
  }

  delete(id: string): void {
    const name = this.#byId.get(id);
    if (name === undefined) return;
    this.#byId.delete(id);
    this.#sorted.splice(lowerBound(this.#sorted, name), 1);
  }
}

/**
 * The page-name cache, for Dispatcher.cache(). It follows the journal, so a page that is created, renamed or deleted by
 * anybody, raw SQL included, shows in it.
 */
export const pageNames: CacheDefinition<PageNames> = {
  name: 'page-names',
  resources: ['wiki'],
  async load(db) {
    const rows = await db.selectFrom('wiki').select(['id', 'name']).execute();
    return new PageNames(rows.map((row) => [String(row['id']), String(row['name'])] as const));
  },
  apply(names, entry) {
    const name = entry.values['name'];
    if (entry.change === 'DELETE') names.delete(entry.id);
    else if (typeof name === 'string') names.set(entry.id, name);
  },
};

// By code point, as PostgreSQL's "C" orders UTF-8: JavaScript's own order of UTF-16 units puts U+FF00 after an emoji.
function compareNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let n = 0; n < length; n++) {
    if (a.charCodeAt(n) === b.charCodeAt(n)) continue;
    return rank(a.charCodeAt(n)) - rank(b.charCodeAt(n));
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

function lowerBound(sorted: readonly string[], name: string): number {
  return search(sorted, (other) => compareNames(other, name) >= 0);
}

function upperBound(sorted: readonly string[], name: string): number {
  return search(sorted, (other) => compareNames(other, name) > 0);
}

function search(sorted: readonly string[], reached: (name: string) => boolean): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (reached(sorted[middle] as string)) high = middle;
    else low = middle + 1;
  }
  return low;
}
