import { describe, expect, it } from '@jest/globals';
import { PageNames } from '#libs/resources';

const names = (...all: string[]) => new PageNames(all.map((name, n) => [String(n), name]));

describe('PageNames', () => {
  it('lists by code point, as PostgreSQL orders bytes', () => {
    const found = names('b', 'a', 'a/b', '😀', 'ｆ', 'é', 'Z').list({ limit: 10 });
    const bytes = (name: string) => Buffer.from(name);
    expect(found).toEqual(['Z', 'a', 'a/b', 'b', 'é', 'ｆ', '😀']);
    expect(found.toSorted((x, y) => Buffer.compare(bytes(x), bytes(y)))).toEqual(found);
  });

  it('lists a prefix in pages, also from a cursor whose page is gone', () => {
    const pages = names('a', 'b', 'b/1', 'b/2', 'b/3', 'bc', 'c');
    expect(pages.list({ prefix: 'b/', limit: 2 })).toEqual(['b/1', 'b/2']);
    expect(pages.list({ prefix: 'b/', after: 'b/2', limit: 2 })).toEqual(['b/3']);
    expect(pages.list({ prefix: 'b/', after: 'b/25', limit: 2 })).toEqual(['b/3']);
    expect(pages.list({ prefix: 'b/', after: 'a', limit: 1 })).toEqual(['b/1']);
    expect(pages.list({ prefix: 'b/', after: 'z', limit: 2 })).toEqual([]);
    expect(pages.list({ prefix: 'x', limit: 2 })).toEqual([]);
  });

  it('follows create, rename and delete, told twice or not', () => {
    const pages = names('a', 'b');
    for (let times = 0; times < 2; times++) {
      pages.set('7', 'c');
      pages.set('0', 'd');
      pages.delete('1');
    }
    expect(pages.list({ limit: 10 })).toEqual(['c', 'd']);
    expect([pages.has('a'), pages.has('c'), pages.has('d')]).toEqual([false, true, true]);
  });

  it('two pages may swap their names one after the other', () => {
    const pages = names('a', 'b');
    pages.set('0', 'b');
    expect(pages.list({ limit: 10 })).toEqual(['b']);
    pages.set('1', 'a');
    expect(pages.list({ limit: 10 })).toEqual(['a', 'b']);
    pages.delete('0');
    expect(pages.list({ limit: 10 })).toEqual(['a']);
  });
});
