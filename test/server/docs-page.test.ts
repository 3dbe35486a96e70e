import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { BrowserPage, findChromium } from '../support/browser.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type TestServer, TOKEN, testServer } from './server-fixture.ts';

const chromium = findChromium();
const inBrowser = chromium === undefined ? describe.skip : describe;
if (!chromium) process.stderr.write('The page at /docs is not tried in a browser: there is no chromium on the PATH.\n');

let database: TestDatabase;
let server: TestServer;
let page: BrowserPage;

beforeAll(async () => {
  if (chromium === undefined) return;
  database = await testDatabase();
  server = await testServer(database.url);
  page = await BrowserPage.open(chromium);
});
afterAll(async () => {
  await page?.close();
  await server?.close();
  await database?.drop();
});

async function appears(selector: string): Promise<void> {
  const found = () => page.evaluate<boolean>(`document.querySelector(${JSON.stringify(selector)}) !== null`);
  await waitUntil(found, `${selector} is on the page`);
}

async function click(selector: string): Promise<void> {
  await appears(selector);
  await page.evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`);
}

async function type(selector: string, text: string): Promise<void> {
  await appears(selector);
  await page.evaluate(`document.querySelector(${JSON.stringify(selector)}).focus()`);
  await page.call('Input.insertText', { text });
}

inBrowser('the page at /docs, in a browser', () => {
  const put = '#operations-Wiki-putPage';

  it('lets a newcomer authorize and send a change', async () => {
    await page.call('Page.navigate', { url: `${server.url}/docs` });
    await click('.btn.authorize');
    await type('.modal-ux input', TOKEN);
    await click('.modal-ux .btn.authorize');
    await click('.modal-ux .btn-done');
    await click(`${put} .opblock-summary-control`);
    await click(`${put} .try-out__btn`);
    await click(`${put} .execute`);
    await appears(`${put} .live-responses-table .response-col_status`);
    const shown = await page.evaluate<string>(`document.querySelector('${put} .live-responses-table tbody').innerText`);
    expect(shown).toMatch(/^201\b/);
    const [, tid] = /tidemark-tid: (\d+)/.exec(shown) ?? [];
    const { changes } = await (await server.ask(`/journal/${tid}`)).json();
    expect(changes).toMatchObject([
      { resource: 'wiki', change: 'CREATE', author: 'admin', comment: 'a better beginning' },
    ]);
  });

  it('keeps the token when it is loaded again', async () => {
    await page.call('Page.reload');
    await appears('.btn.authorize.locked');
  });

  it('finds nothing that its policy forbids, and loads nothing from elsewhere', async () => {
    expect(page.complaints).toEqual([]);
    const loaded = await page.evaluate<string[]>(`performance.getEntriesByType('resource').map(({ name }) => name)`);
    expect(loaded.length).toBeGreaterThan(3);
    expect(loaded.filter((url) => !url.startsWith(`${server.url}/`) && !url.startsWith('data:'))).toEqual([]);
  });

  it('would tell of what its policy forbids', async () => {
    await page.evaluate(`document.body.append(Object.assign(document.createElement('script'), { textContent: '1' }))`);
    await waitUntil(() => page.complaints.some((told) => told.includes('Content Security Policy')), 'it is told');
  });
});
