import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type InterWiki, interWikiUrl, parseInterMap } from '../../libs/resources/wiki/inter-map.ts';

const PAGE = `= InterMapTxt
Before http://example.org/
----
{{{
MeatBall   http://www.usemod.com/cgi-bin/mb.pl?  # MeatBall's pages
bug\thttp://bugs.example/$1/comment/$2#c$2 # Comment $2 of $1
  Indented http://example.org/
Two http://example.org/ words
1st http://example.org/
NoUrl
meatball   http://second.example/ #
}}}
----
After      http://example.org/`;

it('only lines between the dashes count, prefixes are case-insensitive, the last of one prefix counts', () => {
  expect([...parseInterMap(PAGE)]).toEqual([
    ['meatball', { prefix: 'meatball', url: 'http://second.example/', title: 'meatball' }],
    ['bug', { prefix: 'bug', url: 'http://bugs.example/$1/comment/$2#c$2', title: 'Comment $2 of $1' }],
  ]);
  expect(parseInterMap('MeatBall http://x/').size).toBe(0);
});

it.each([
  ['http://x/', 'Page', 'http://x/Page'],
  ['http://x/?', 'Page?a=b#c', 'http://x/?Page&a=b#c'],
  ['http://x/$1/$2', 'a:b:c', 'http://x/a/b:c'],
  ['http://x/$1/$2', 'a', 'http://x/a/'],
  ['http://x/$2', 'a:b', 'http://x/b'],
  ['http://x/?id=$1#top', '7?b=1#mine', 'http://x/?id=7&b=1#mine'],
  ['http://x/?id=$1#top', '7', 'http://x/?id=7#top'],
  ['http://x/', 'a b"<é>%20', 'http://x/a%20b%22%3C%C3%A9%3E%20'],
  ['javascript:', 'alert(1)', null],
  ['$1', 'javascript:alert(1)', null],
  ['$1', 'JaVaScript:alert(1)', null],
  ['data:text/html,', 'x', null],
  ['/local/', 'x', '/local/x'],
  ['http://x/$1', 'x'.repeat(9_000), null],
  [`http://x/${'$1'.repeat(100)}`, 'x'.repeat(1_000), null],
])('%s with the target %j is %j', (url, target, expected) => {
  expect(interWikiUrl({ prefix: 'p', url, title: 'p' }, target)).toBe(expected);
});

it('any page and any target make a short address without what no URL may hold, or none', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[$1-9:?#/a\ud800 -]*$/));
  fc.assert(
    fc.property(text, text, (page, target) => {
      for (const entry of [...parseInterMap(`----\np http://${page}\n${page}`).values(), wild(page)]) {
        const url = interWikiUrl(entry, target);
        expect(url === null || (url.length <= 8_000 && /^[\x21-\x7e]*$/.test(url) && !/["<>\\^`{|}]/.test(url))).toBe(
          true,
        );
      }
    }),
    { numRuns: 2_000 },
  );
});

function wild(url: string): InterWiki {
  return { prefix: 'p', url, title: 'p' };
}

it('a page of 5 MB is read in linear time', () => {
  for (const line of ['p http://x/ ', 'p x #', '-', 'p\t', ' \n', `${'p'.repeat(3_000)}\n`]) {
    const started = performance.now();
    parseInterMap(`----\n${line.repeat(5_000_000 / line.length)}`);
    parseInterMap(`----\n${`${line}\n`.repeat(5_000_000 / (line.length + 1))}`);
    expect(performance.now() - started).toBeLessThan(4_000);
  }
});
