import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { linksIn } from '../../libs/resources/wiki/wiki-links.ts';

/** "text→prefix:target" of each link; the text is left out where it is the target. */
function links(text: string): string[] {
  return [...linksIn(text)].map(({ text: shown, prefix, target }) => {
    const link = prefix === 'wiki' ? target : `${prefix}:${target}`;
    return shown === link ? link : `${shown}→${link}`;
  });
}

const CASES: Record<string, [text: string, links: string[]][]> = {
  'words in CamelCase': [
    ['WikiStart', ['WikiStart']],
    ['see WikiStart, WikiStart. (WikiStart) "WikiStart": WikiStart!', Array(5).fill('WikiStart')],
    [
      'Wiki wiki WIKI WikiA aWikiStart WikiStart2 Wiki_Start XMLHttp ÀpropósÉtat ÉtatÀpropós',
      ['ÀpropósÉtat', 'ÉtatÀpropós'],
    ],
    [
      'WikiStart/SubPage Foo/Bar WikiStart/sub WikiStart/SubPage2 WikiStart/',
      ['WikiStart/SubPage', 'Foo/Bar', 'WikiStart', 'WikiStart', 'WikiStart/'],
    ],
    [
      'WikiStart@3 WikiStart#part WikiStart@3#part-2. WikiStart@x WikiStart#1',
      ['WikiStart@3', 'WikiStart#part', 'WikiStart@3#part-2', 'WikiStart', 'WikiStart'],
    ],
    ['path/WikiStart /WikiStart WikiStart:foo WikiStart: foo', ['WikiStart:foo', 'WikiStart']],
  ],
  'prefix:target in running text': [
    ['wiki:start, wiki:a/b. (wiki:c) <wiki:d>', ['wiki:start→start', 'wiki:a/b→a/b', 'wiki:c→c', 'wiki:d→d']],
    [
      'wiki:"Free Page" wiki:\'Other Page\' wiki:"unclosed',
      ['wiki:"Free Page"→Free Page', "wiki:'Other Page'→Other Page"],
    ],
    [
      'wiki:Page?a=b&c=d#e, wiki:a|b ||wiki:a||wiki:_x',
      ['wiki:Page?a=b&c=d#e→Page?a=b&c=d#e', 'wiki:a|b→a|b', 'wiki:a→a'],
    ],
    ['MeatBall:InterMapTxt 1wiki:a é-wiki:b', ['MeatBall:InterMapTxt', 'wiki:a→a', 'wiki:b→b']],
    ['http://host/WikiStart mailto:a@b Note: WikiStart', ['http://host/WikiStart', 'mailto:a@b', 'WikiStart']],
  ],
  'single brackets': [
    ['[wiki:Page] [wiki:Page label text] [wiki:Page "label ] here"]', ['Page', 'label text→Page', 'label ] here→Page']],
    [
      '[wiki:"Free Page"] [wiki:"a]b" label] ["Free Page" label] [\'Free\']',
      ['Free Page', 'label→a]b', 'label→Free Page', 'Free'],
    ],
    [
      '[WikiStart] [WikiStart label] [WikiStart#a label] [wikistart]',
      ['WikiStart', 'label→WikiStart', 'label→WikiStart#a'],
    ],
    ['[./Sub] [../Sibling label] [..] [. here] [.#a] [.x]', ['./Sub', 'label→../Sibling', '..', 'here→.', '.#a']],
    [
      '[#anchor WikiStart] [/browser WikiStart] [=#a WikiStart] [http://x WikiStart] [?q WikiStart]',
      ['WikiStart→http://x'],
    ],
    ['[MeatBall:Page] [MeatBall:Page label]', ['Page→MeatBall:Page', 'label→MeatBall:Page']],
    ['[wiki:] [wiki:#a] [wiki:Page', ['wiki→', '#a', 'wiki:Page→Page']],
  ],
  'double brackets': [
    [
      '[[Free Page]] [[WikiStart|label]] [[ wiki:Page | label ]] [[wiki:Page]]',
      ['Free Page', 'label→WikiStart', 'label→Page', 'Page'],
    ],
    ['[[..]] [[./Sub|x]] [[#anchor|x]] [[|x]] [[]]', ['..', 'x→./Sub']],
    ['[[BR]] [[PageOutline(2-5,WikiStart)]] [[TitleIndex]] [[MacroList?]] [[TitleIndex|label]]', ['label→TitleIndex']],
    ['[[MeatBall:Page|label]] [[http://x|label]]', ['label→MeatBall:Page', 'label→http://x']],
    ['[[a [[b]]', ['b']],
  ],
  'what is no link': [
    ['!WikiStart !wiki:Page ![wiki:Page WikiStart] ![[Page]] !`x` WikiStart', ['WikiStart']],
    ['`WikiStart` {{{WikiStart}}} {{{ {{{ }}} WikiStart ` WikiStart', ['WikiStart', 'WikiStart']],
    ['{{{\nWikiStart\n{{{#!html\nWikiStart\n}}}\nWikiStart\n}}}\nWikiStart', ['WikiStart']],
    ['  {{{  \r\nWikiStart\r\n}}}\r\nWikiStart', ['WikiStart']],
    ['{{{#!python\nWikiStart', []],
    ['[wiki:Page over\ntwo lines]', ['wiki:Page→Page']],
    ['== WikiStart == #WikiAnchor\n = A#WikiStart =\n= A = #WikiStart b', ['WikiStart', 'WikiStart', 'WikiStart']],
    ['', []],
  ],
};

for (const [kind, cases] of Object.entries(CASES)) {
  it.each(cases)(`${kind}: %j`, (text, expected) => {
    expect(links(text)).toEqual(expected);
  });
}

describe('any text', () => {
  const token = fc.constantFrom(
    ...[
      '[',
      '[[',
      ']',
      ']]',
      'wiki:',
      'MeatBall:',
      'WikiStart',
      '"',
      "'",
      ' ',
      '\n',
      '{{{',
      '}}}',
      '`',
      '!',
      '|',
      '(',
      ')]]',
    ],
    ...['..', '/', '#', '?', '@3', 'a', 'Ab', 'É', '\ud83d', '😀', '_', ':', '<', '\0', '\t', '\r\n', '=#', 'BR'],
  );
  const wild = fc.oneof(
    fc.array(token, { maxLength: 40 }).map((tokens) => tokens.join('')),
    fc.string({ unit: 'binary' }),
  );

  it('is read without an error, and its links stand in it one after the other', () => {
    fc.assert(
      fc.property(wild, (text) => {
        let from = 0;
        for (const { text: shown, target } of linksIn(text)) {
          const part = target.replace(/^\/+/, '') || shown;
          const at = text.indexOf(part, from);
          expect(at).toBeGreaterThanOrEqual(0);
          from = text.slice(at).startsWith(part) ? at : from;
        }
      }),
      { numRuns: 5_000 },
    );
  });

  it('has the same links in any surroundings of other lines', () => {
    fc.assert(
      fc.property(wild, (text) => {
        fc.pre(!text.includes('{{{'));
        expect(links(`plain\n${text}\nWikiEnd`)).toEqual([...links(text), 'WikiEnd']);
      }),
    );
  });

  const FIVE_MB = 5_000_000;
  const repeated = (unit: string, end = '') => unit.repeat(Math.floor(FIVE_MB / unit.length)) + end;
  it.each([
    ...[
      '[',
      '[[',
      '[wiki:',
      '[[wiki:',
      '[a:"',
      'wiki:"',
      'WikiStart/',
      'Aa',
      'AaBb:',
      'a-',
      'a:',
      '!',
      '`',
      '{{{',
      '{{{\n',
    ],
    ...['[[a(', 'a:b)', 'a:)', '["', '[a:b "', '[WikiStart', 'AaBb#', '[[\n', 'é', '[[BR', `["a]'`],
  ])('5 MB of %j are read in linear time', (unit) => {
    for (const text of [repeated(unit), repeated(unit, '"]]')]) {
      const started = performance.now();
      let count = 0;
      for (const _ of linksIn(text)) count++;
      expect(count).toBeLessThanOrEqual(text.length);
      expect(performance.now() - started).toBeLessThan(4_000);
    }
  });
});
