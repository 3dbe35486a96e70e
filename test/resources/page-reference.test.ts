import { expect, it } from '@jest/globals';
import { resolvePage } from '../../libs/resources/wiki/page-reference.ts';

const PAGES = [
  'WikiStart',
  'First',
  'First/Second',
  'First/Second/Third',
  'First/Beside',
  'First/Deep/WikiStart',
  'Top',
  'A b/é',
];

it.each([
  ['WikiStart', 'Top', 'WikiStart', true],
  ['Missing', 'Top', 'Missing', false],
  ['./Sub', 'Top', 'Top/Sub', false],
  ['./Second', 'First', 'First/Second', true],
  ['../Beside', 'First/Second', 'First/Beside', true],
  ['..', 'First/Second/Third', 'First/Second', true],
  ['../..', 'First/Second/Third', 'First', true],
  ['.././../Top', 'First/Second', 'Top', true],
  ['.', 'Top', 'Top', true],
  ['/Top', 'First/Second', 'Top', true],
  ['Beside', 'First/Second', 'First/Beside', true],
  ['Top', 'First/Second/Third', 'Top', true],
  ['WikiStart', 'First/Deep/Page', 'First/Deep/WikiStart', true],
  ['Missing', 'First/Second/Third', 'First/Second/Missing', false],
  ['Second/Other', 'First/Second/Third', 'First/Second/Other', false],
  ['', 'Top', 'WikiStart', true],
  ['First/', 'Top', 'First', true],
])('%j on %s is %s', (target, referrer, name, exists) => {
  expect(resolvePage(target, referrer, (page) => PAGES.includes(page))).toEqual({
    ...{ name, exists, url: `/wiki/${encodeURIComponent(name)}` },
  });
});

it.each([
  ['A b/é?x=1&y= z#part', '/wiki/A%20b%2F%C3%A9?x=1&y=%20z#part'],
  ['Top@3', '/wiki/Top?version=3'],
  ['Top@3?x=1#part', '/wiki/Top?version=3&x=1#part'],
  ['Top@latest', '/wiki/Top'],
  ['#part', '/wiki/WikiStart#part'],
  ['a//b', null],
  ['../..', null],
  ['x'.repeat(501), null],
  ['\ud800', null],
])('%j leads to %j', (target, url) => {
  expect(resolvePage(target, 'Top', (page) => PAGES.includes(page)).url).toBe(url);
});

it('long targets on a deep page are resolved at once', () => {
  const deep = Array(250).fill('a').join('/');
  const started = performance.now();
  for (const unit of ['/', 'a', 'a/', '../', '@', '#', '?']) {
    resolvePage(unit.repeat(5_000_000 / unit.length), deep, () => false);
    resolvePage(`${unit.repeat(5_000_000 / unit.length)}b`, deep, () => false);
  }
  for (let n = 0; n < 500; n++) resolvePage('b'.repeat(490 - n / 10), deep, () => false);
  expect(performance.now() - started).toBeLessThan(5_000);
});
